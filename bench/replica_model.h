/* The model of a GPU replica: requests that wait, slots that work on them, prompts named block by block. */
#ifndef BENCH_REPLICA_MODEL_H
#define BENCH_REPLICA_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "http.h"
#include "prefix_cache.h"
#include "timers.h"

enum { MAX_REPLICAS = 64, BLOCK_CHARS = 64, CHARS_PER_TOKEN = 4 };
enum { PREFILL_NS_PER_TOKEN = 60 * 1000, DECODE_NS_PER_TOKEN = 4 * 1000 * 1000 };

enum phase { IDLE, WAITING, PREFILL, DECODE };

struct connection {
    int fd, replica;
    enum phase phase;
    bool stream, close_after;
    uint64_t ticket, decode_ns, names[4096];
    uint32_t count, hits, tokens;
    struct connection *next;  /* of those that wait */
    struct bytes in, out;
};

static struct replica {
    int listener;
    uint16_t port;
    uint64_t slow, answered, cut, blocks, hits, waiting, max_waiting, active;
    struct connection *first, **last;
    struct prefix_cache cache;
} replicas[MAX_REPLICAS + 1];

static unsigned long slots;

/* --- prompts ---------------------------------------------------------------------------------------------- */

/* The texts that stand as "content" or "text" in the request, one after the other; what routers add around them is left out. */
static inline void take_texts(struct bytes *into, const char *body, size_t size) {
    static const char *const KEYS[] = {"\"content\":", "\"text\":"};
    const char *end = body + size;
    for (size_t k = 0; k < 2; k++) {
        for (const char *at = body; (at = memmem(at, (size_t)(end - at), KEYS[k], strlen(KEYS[k])));) {
            at += strlen(KEYS[k]);
            while (at < end && *at == ' ') at++;
            const char *quote = at < end && *at == '"' ? memchr(at + 1, '"', (size_t)(end - at - 1)) : NULL;
            if (quote) append(into, at + 1, (size_t)(quote - at - 1));
        }
    }
}

/* Name each whole block of the prompt. */
static inline void name_blocks(struct connection *c, const struct bytes *prompt) {
    uint64_t name = 14695981039346656037u;
    for (size_t i = 0; i < prompt->end && c->count < sizeof c->names / 8; i++) {
        name = (name ^ (unsigned char)prompt->data[i]) * 1099511628211u;
        if ((i + 1) % BLOCK_CHARS == 0) c->names[c->count++] = name ^ (name >> 32);
    }
}

/* Four characters are a token. */
static inline void append_token_ids(struct bytes *out, const struct bytes *prompt) {
    char number[24];
    for (size_t i = 0; i + CHARS_PER_TOKEN <= prompt->end; i += CHARS_PER_TOKEN) {
        uint32_t id;
        memcpy(&id, prompt->data + i, sizeof id);
        append(out, number, (size_t)snprintf(number, sizeof number, i ? ",%u" : "%u", (id ^ id >> 15) % 100000));
    }
}

static inline void read_request(struct connection *c, const char *body, size_t size) {
    const char *asked = memmem(body, size, "tokens=", 7);
    c->count = 0;
    c->stream = memmem(body, size, "\"stream\":true", 13) || memmem(body, size, "\"stream\": true", 14);
    c->tokens = asked ? (uint32_t)strtoul(asked + 7, NULL, 10) : 16;
    struct bytes prompt = {0};
    take_texts(&prompt, body, size);
    name_blocks(c, &prompt);
    free(prompt.data);
}

/* --- the model of a replica ------------------------------------------------------------------------------- */

static inline void start(struct connection *c) {
    struct replica *r = &replicas[c->replica];
    c->hits = read_prompt(&r->cache, c->names, c->count);
    r->blocks += c->count;
    r->hits += c->hits;
    r->active++;
    uint64_t new_tokens = (uint64_t)(c->count - c->hits) * BLOCK_CHARS / CHARS_PER_TOKEN;
    c->decode_ns = c->tokens * (uint64_t)DECODE_NS_PER_TOKEN * r->slow / 100;
    c->phase = PREFILL;
    c->ticket = add_timer(c->fd, now_ns() + new_tokens * PREFILL_NS_PER_TOKEN * r->slow / 100);
}

static inline void start_waiting(struct replica *r) {
    while (r->active < slots && r->first) {
        struct connection *c = r->first;
        if (!(r->first = c->next)) r->last = &r->first;
        r->waiting--;
        start(c);
    }
}

static inline void begin(struct connection *c) {
    struct replica *r = &replicas[c->replica];
    c->phase = WAITING;
    c->next = NULL;
    *r->last = c;
    r->last = &c->next;
    r->waiting++;
    start_waiting(r);
    if (r->waiting > r->max_waiting) r->max_waiting = r->waiting;
}

/* Give up what the connection holds of its replica. */
static inline void leave(struct connection *c) {
    struct replica *r = &replicas[c->replica];
    if (c->phase == WAITING) {
        struct connection **link = &r->first;
        while (*link != c) link = &(*link)->next;
        if (!(*link = c->next)) r->last = link;
        r->waiting--;
    } else if (c->phase != IDLE) {
        r->active--;
    }
    c->phase = IDLE;
}

#endif
