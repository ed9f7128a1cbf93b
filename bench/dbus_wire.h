/* As much of the D-Bus wire format as a benchmark needs: connect, authenticate, say Hello, build and read messages.
 * Little-endian, one thread. A message is built into a fixed buffer and is never larger than that. */
#ifndef BENCH_DBUS_WIRE_H
#define BENCH_DBUS_WIRE_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum message_type { METHOD_CALL = 1, METHOD_RETURN = 2, METHOD_ERROR = 3, SIGNAL = 4 };
enum message_flag { NO_REPLY_EXPECTED = 1, NO_AUTO_START = 2 };
enum field { PATH = 1, INTERFACE = 2, MEMBER = 3, ERROR_NAME = 4, REPLY_SERIAL = 5, DESTINATION = 6, SENDER = 7, SIGNATURE = 8 };

#define BUS "org.freedesktop.DBus"

static inline void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, errno ? strerror(errno) : "failed");
    exit(1);
}

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* --- writing ---------------------------------------------------------------------------------------------- */

struct writer { unsigned char *data; size_t size, room; };

static inline void put_raw(struct writer *w, const void *data, size_t size) {
    if (w->size + size > w->room) {
        w->room = (w->size + size) * 2;
        if (!(w->data = realloc(w->data, w->room))) die("realloc");
    }
    if (size) memcpy(w->data + w->size, data, size);
    w->size += size;
}

static inline void put_padding(struct writer *w, size_t boundary) {
    while (w->size % boundary) put_raw(w, "", 1);
}

static inline void put_u32(struct writer *w, uint32_t value) {
    put_padding(w, 4);
    put_raw(w, &value, 4);
}

static inline void put_string(struct writer *w, const char *text) {
    put_u32(w, (uint32_t)strlen(text));
    put_raw(w, text, strlen(text) + 1);
}

static inline void put_signature(struct writer *w, const char *signature) {
    unsigned char size = (unsigned char)strlen(signature);
    put_raw(w, &size, 1);
    put_raw(w, signature, size + 1u);
}

/* An array's length stands before its padding; the length counts from the first element. */
static inline size_t begin_array(struct writer *w, size_t boundary, size_t *length_at) {
    put_u32(w, 0);
    *length_at = w->size - 4;
    put_padding(w, boundary);
    return w->size;
}

static inline void end_array(struct writer *w, size_t start, size_t length_at) {
    uint32_t size = (uint32_t)(w->size - start);
    memcpy(w->data + length_at, &size, 4);
}

static inline void put_text_field(struct writer *w, enum field field, const char *signature, const char *text) {
    if (!text || !*text) return;
    put_padding(w, 8);
    put_raw(w, (unsigned char[]){(unsigned char)field}, 1);
    put_signature(w, signature);
    if (*signature == 'g') put_signature(w, text);
    else put_string(w, text);
}

struct envelope { enum message_type type; int flags; uint32_t serial, reply_serial; const char *path, *interface, *member, *destination, *signature; };

/* A whole message from its envelope and its body (already marshalled from offset 0). */
static inline void put_message(struct writer *w, const struct envelope *e, const struct writer *body) {
    unsigned char head[4] = {'l', (unsigned char)e->type, (unsigned char)e->flags, 1};
    size_t length_at;
    w->size = 0;
    put_raw(w, head, 4);
    put_u32(w, body ? (uint32_t)body->size : 0);
    put_u32(w, e->serial);
    size_t start = begin_array(w, 8, &length_at);
    put_text_field(w, PATH, "o", e->path);
    put_text_field(w, INTERFACE, "s", e->interface);
    put_text_field(w, MEMBER, "s", e->member);
    put_text_field(w, DESTINATION, "s", e->destination);
    put_text_field(w, SIGNATURE, "g", e->signature);
    if (e->reply_serial) {
        put_padding(w, 8);
        put_raw(w, (unsigned char[]){REPLY_SERIAL}, 1);
        put_signature(w, "u");
        put_u32(w, e->reply_serial);
    }
    end_array(w, start, length_at);
    put_padding(w, 8);
    if (body) put_raw(w, body->data, body->size);
}

static inline void set_serial(struct writer *w, uint32_t serial) { memcpy(w->data + 8, &serial, 4); }

static inline void send_all(int fd, const void *data, size_t size) {
    for (size_t sent = 0; sent < size;) {
        ssize_t n = send(fd, (const char *)data + sent, size - sent, MSG_NOSIGNAL);
        if (n < 0 && errno != EINTR) die("send");
        if (n > 0) sent += (size_t)n;
    }
}

/* --- reading ---------------------------------------------------------------------------------------------- */

enum { MAX_PASSED = 4 };

/* `passed`: descriptors that came along and nobody took yet (take_fd). */
struct reader { int fd; unsigned char *data; size_t start, end, room; int passed[MAX_PASSED], passed_count; };

struct message { enum message_type type; uint32_t serial, reply_serial; const char *sender, *member, *error_name, *signature; const unsigned char *body; uint32_t body_size; };

static inline uint32_t u32_at(const unsigned char *data) { uint32_t v; memcpy(&v, data, 4); return v; }

static inline void keep_fds(struct reader *r, struct msghdr *head) {
    for (struct cmsghdr *c = CMSG_FIRSTHDR(head); c; c = CMSG_NXTHDR(head, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (r->passed_count < MAX_PASSED) r->passed[r->passed_count++] = fd;
            else close(fd);
        }
    }
}

/* The oldest descriptor that came along, or -1. */
static inline int take_fd(struct reader *r) {
    if (!r->passed_count) return -1;
    int fd = r->passed[0];
    memmove(r->passed, r->passed + 1, (size_t)--r->passed_count * sizeof fd);
    return fd;
}

/* Read once, blocking unless the fd does not; false when the bus has closed the connection. */
static inline bool receive(struct reader *r) {
    if (r->start) {
        memmove(r->data, r->data + r->start, r->end - r->start);
        r->end -= r->start;
        r->start = 0;
    }
    if (r->room - r->end < 65536 && !(r->data = realloc(r->data, r->room = r->room * 2 + 131072))) die("realloc");
    union { struct cmsghdr align; char room[CMSG_SPACE(MAX_PASSED * sizeof(int))]; } control;
    struct iovec data = {r->data + r->end, r->room - r->end};
    struct msghdr head = {.msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(r->fd, &head, MSG_CMSG_CLOEXEC);
    if (n < 0 && errno != EINTR && errno != EAGAIN) die("recv");
    if (n <= 0) return n != 0;
    keep_fds(r, &head);
    r->end += (size_t)n;
    return true;
}

static inline void read_fields(const unsigned char *data, uint32_t size, struct message *m) {
    for (uint32_t at = 0; at + 8 <= size;) {
        unsigned char code = data[at], kind = data[at + 2];  /* 1, one letter, 0 stand around it */
        at += 4;
        const char *text = NULL;
        uint32_t number = 0;
        if (kind == 'g') { text = (const char *)data + at + 1; at += data[at] + 2u; }
        else if (kind == 'u') { number = u32_at(data + at); at += 4; }
        else { text = (const char *)data + at + 4; at += u32_at(data + at) + 5; }
        if (code == REPLY_SERIAL) m->reply_serial = number;
        else if (code == SENDER) m->sender = text;
        else if (code == MEMBER) m->member = text;
        else if (code == ERROR_NAME) m->error_name = text;
        else if (code == SIGNATURE) m->signature = text;
        at = (at + 7) & ~7u;
    }
}

/* Take the next whole message out of the buffer; its pointers hold until the next receive(). */
static inline bool next_message(struct reader *r, struct message *m) {
    size_t there = r->end - r->start;
    const unsigned char *data = r->data + r->start;
    if (there < 16) return false;
    uint32_t fields = u32_at(data + 12), body = u32_at(data + 4);
    size_t head = (16u + fields + 7u) & ~(size_t)7;
    if (there < head + body) return false;
    *m = (struct message){.type = data[1], .serial = u32_at(data + 8), .body = data + head, .body_size = body};
    m->sender = m->member = m->error_name = m->signature = "";
    read_fields(data + 16, fields, m);
    r->start += head + body;
    return true;
}

/* The first string of the body, or "" where it does not begin with one. */
static inline const char *first_string(const struct message *m) {
    return *m->signature == 's' && m->body_size > 4 ? (const char *)m->body + 4 : "";
}

/* --- connecting ------------------------------------------------------------------------------------------- */

static inline int connect_socket(const char *address) {
    const char *path = strstr(address, "path="), *abstract = strstr(address, "abstract=");
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    const char *from = abstract ? abstract + 9 : path ? path + 5 : NULL;
    size_t size = from ? strcspn(from, ",;") : 0, skip = abstract ? 1 : 0;
    if (!size || size + skip >= sizeof name.sun_path) { errno = EINVAL; die(address); }
    memcpy(name.sun_path + skip, from, size);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t length = (socklen_t)(sizeof name.sun_family + skip + size);
    if (fd < 0 || connect(fd, (struct sockaddr *)&name, length) < 0) die(address);
    return fd;
}

/* Say a line and wait for an answer that begins as it should. */
static inline void agree(int fd, const char *say, size_t size, const char *wanted) {
    char answer[256];
    send_all(fd, say, size);
    ssize_t n = recv(fd, answer, sizeof answer, 0);
    if (n < (ssize_t)strlen(wanted) || memcmp(answer, wanted, strlen(wanted))) { errno = EACCES; die("authentication on the bus"); }
}

static inline void authenticate(int fd) {
    char uid[16], line[256];
    snprintf(uid, sizeof uid, "%u", (unsigned)geteuid());
    size_t size = (size_t)snprintf(line, sizeof line, "%cAUTH EXTERNAL ", 0);
    for (const char *c = uid; *c; c++) size += (size_t)snprintf(line + size, sizeof line - size, "%02x", *c);
    size += (size_t)snprintf(line + size, sizeof line - size, "\r\n");
    agree(fd, line, size, "OK ");
    agree(fd, "NEGOTIATE_UNIX_FD\r\n", 19, "AGREE_UNIX_FD");
    send_all(fd, "BEGIN\r\n", 7);
}

/* Send a call and wait for its answer; what else arrives meanwhile is dropped. */
static inline struct message call(struct reader *r, struct envelope *e, const struct writer *body) {
    struct writer w = {0};
    struct message m;
    put_message(&w, e, body);
    send_all(r->fd, w.data, w.size);
    free(w.data);
    for (;;) {
        while (next_message(r, &m)) if (m.reply_serial == e->serial) return m;
        if (!receive(r)) { errno = ECONNRESET; die("the bus"); }
    }
}

static inline struct message call_bus(struct reader *r, uint32_t serial, const char *member, const char *signature, const struct writer *body) {
    struct envelope e = {METHOD_CALL, 0, serial, 0, "/org/freedesktop/DBus", BUS, member, BUS, signature};
    return call(r, &e, body);
}

static inline void connect_to_bus(struct reader *r, const char *address) {
    if (!address) address = getenv("DBUS_SYSTEM_BUS_ADDRESS");
    if (!address) address = "unix:path=/run/dbus/system_bus_socket";
    r->fd = connect_socket(address);
    authenticate(r->fd);
    struct message m = call_bus(r, 1, "Hello", "", NULL);
    if (m.type != METHOD_RETURN) { fprintf(stderr, "Hello: %s: %s\n", m.error_name, first_string(&m)); exit(1); }
}

#endif
