/* What a model server keeps of the prompts it has read: blocks of text, each named by a hash of all the text up to its
 * end, as vLLM names them; the least recently used one goes when a new one has no room. */
#ifndef BENCH_PREFIX_CACHE_H
#define BENCH_PREFIX_CACHE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "http.h"

enum { NOBODY = 0 };  /* the nodes count from 1; node 0 is both ends of the list by use */

struct block { uint64_t name; uint32_t chain, older, newer; };

struct prefix_cache { struct block *blocks; uint32_t *buckets, room, used, mask; };

static inline void make_cache(struct prefix_cache *c, uint32_t room) {
    uint32_t buckets = 64;
    while (buckets < room * 2) buckets *= 2;
    *c = (struct prefix_cache){calloc(room + 1, sizeof(struct block)), calloc(buckets, 4), room, 0, buckets - 1};
    if (!c->blocks || !c->buckets) fail("calloc");
}

static inline void forget_all(struct prefix_cache *c) {
    memset(c->buckets, 0, (c->mask + 1u) * 4u);
    c->blocks[NOBODY] = (struct block){0};
    c->used = 0;
}

static inline uint32_t find_block(const struct prefix_cache *c, uint64_t name) {
    uint32_t at = c->buckets[name & c->mask];
    while (at != NOBODY && c->blocks[at].name != name) at = c->blocks[at].chain;
    return at;
}

static inline void take_out(struct prefix_cache *c, uint32_t at) {
    struct block *b = &c->blocks[at];
    c->blocks[b->older].newer = b->newer;
    c->blocks[b->newer].older = b->older;
}

static inline void put_newest(struct prefix_cache *c, uint32_t at) {
    struct block *end = &c->blocks[NOBODY];
    c->blocks[at].older = end->older;
    c->blocks[at].newer = NOBODY;
    c->blocks[end->older].newer = at;
    end->older = at;
}

static inline uint32_t evict_oldest(struct prefix_cache *c) {
    uint32_t at = c->blocks[NOBODY].newer, *link = &c->buckets[c->blocks[at].name & c->mask];
    while (*link != at) link = &c->blocks[*link].chain;
    *link = c->blocks[at].chain;
    take_out(c, at);
    return at;
}

/* Read a prompt, its blocks from the first to the last: how many of them were there, up to the first that was not. */
static inline uint32_t read_prompt(struct prefix_cache *c, const uint64_t *names, uint32_t count) {
    uint32_t hits = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = find_block(c, names[i]);
        if (at != NOBODY) {
            if (hits == i) hits++;
            take_out(c, at);
        } else {
            at = c->used < c->room ? ++c->used : evict_oldest(c);
            uint32_t *bucket = &c->buckets[names[i] & c->mask];
            c->blocks[at] = (struct block){names[i], *bucket, 0, 0};
            *bucket = at;
        }
        put_newest(c, at);
    }
    return hits;
}

#endif
