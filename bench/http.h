/* Growing buffers, and HTTP/1.1 requests read out of them. */
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { READ_ROOM = 16384, MAX_REQUEST = 64 << 20 };

static inline void fail(const char *what) { perror(what); exit(1); }

struct bytes { char *data; size_t start, end, room; };  /* live bytes are data[start..end) */

static inline void reserve(struct bytes *b, size_t more) {
    if (b->start == b->end) b->start = b->end = 0;
    if (b->room - b->end >= more) return;
    memmove(b->data, b->data + b->start, b->end - b->start);
    b->end -= b->start;
    b->start = 0;
    if (b->room - b->end >= more) return;
    size_t room = b->room ? b->room : READ_ROOM;
    while (room - b->end < more) room *= 2;
    if (!(b->data = realloc(b->data, room))) fail("realloc");
    b->room = room;
}

static inline void append(struct bytes *b, const void *data, size_t size) {
    reserve(b, size);
    memcpy(b->data + b->end, data, size);
    b->end += size;
}

static inline void append_text(struct bytes *b, const char *text) { append(b, text, strlen(text)); }

static inline void append_chunk(struct bytes *b, const char *text, size_t size) {
    char head[20];
    append(b, head, (size_t)snprintf(head, sizeof head, "%zx\r\n", size));
    append(b, text, size);
    append(b, "\r\n", 2);
}

struct head { char method[8], path[512]; size_t size, content_length; bool chunked, expects_continue, close; };

static inline bool is_header(const char *line, const char *name) { return !strncasecmp(line, name, strlen(name)); }

/* Read the head at `text`; false when it is no HTTP request. */
static inline bool parse_head(char *text, size_t size, struct head *head) {
    memset(head, 0, sizeof *head);
    head->size = size;
    text[size - 2] = 0;  /* ends the last header line; the blank line's bytes are not needed again */
    if (sscanf(text, "%7s %511s HTTP/1.", head->method, head->path) != 2) return false;
    for (char *line = strstr(text, "\r\n"); line && line[2]; line = strstr(line + 2, "\r\n")) {
        const char *h = line + 2;
        if (is_header(h, "content-length:")) head->content_length = strtoull(h + 15, NULL, 10);
        else if (is_header(h, "transfer-encoding:")) head->chunked = true;
        else if (is_header(h, "expect:")) head->expects_continue = true;
        else if (is_header(h, "connection: close")) head->close = true;
    }
    text[size - 2] = '\r';
    return true;
}

/* Size of the chunked body at `text`, 0 while it is incomplete; what it carries is put into `body` if that is given. */
static inline size_t chunked_body(const char *text, size_t size, struct bytes *body) {
    size_t at = 0;
    for (;;) {
        const char *end = memmem(text + at, size - at, "\r\n", 2);
        if (!end) return 0;
        size_t length = strtoull(text + at, NULL, 16), data = (size_t)(end - text) + 2;
        if (length > MAX_REQUEST || size < data + length + 2) return 0;
        if (body) append(body, text + data, length);
        at = data + length + 2;
        if (!length) return at;
    }
}

#endif
