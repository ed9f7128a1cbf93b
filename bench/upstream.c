/* A provider that is never the bottleneck: Anthropic Messages and OpenAI chat completions, JSON and SSE.
 *
 *   upstream [PORT]      listens on 127.0.0.1 (0 or none: the kernel chooses) and prints "port N"
 *
 *   POST .../v1/messages, .../chat/completions    keep-alive, pipelining, content-length and chunked bodies
 *   GET  /__set?key=value&...   delay_us  before an answer          chunks    text chunks of a stream
 *                               chunk_us  before each chunk         burst     chunks in one write
 *                               (14 chunks: as many as the plain answer has tokens, so that who asks for a stream and
 *                               who does not are given the same)
 *                               status    of each answer
 *   GET  /__stats               counters since the start or the last /__reset, as one JSON object; abort_ns is when the
 *                               last client left before its answer was whole, on CLOCK_MONOTONIC
 *
 * One thread, edge-triggered epoll, answers rendered once at the start. Requests that wait (a delay, a paced
 * stream) stand in a heap by due time; a timerfd rings for the earliest. Loopback only; it trusts its client.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answers.h"
#include "http.h"
#include "timers.h"

enum { MAX_FDS = 65536, CHUNKS_PER_TURN = 64, MAX_CHUNK = 512 };

static struct { uint64_t delay_us, chunks, chunk_us, burst, status; } settings = {.chunks = 14, .burst = 1, .status = 200};
static struct { uint64_t open, max_open, connections, requests, active, max_active, aborts, chunks_sent, answered, abort_ns; } stats;

enum phase { IDLE, DELAYED, STREAMING };

struct request { bool anthropic, stream, include_usage, close; };

struct connection {
    int fd;
    enum phase phase;
    struct request request;
    bool told_to_continue, close_when_flushed;
    uint64_t ticket;            /* of its timer (timers.h) */
    uint64_t chunk;             /* next chunk of a stream */
    struct bytes in, out;
};

static struct connection *connections[MAX_FDS];
static int epoll_fd, timer_fd;

/* --- bodies rendered ---------------------------------------------------------------------------------------- */

static void append_answer(struct bytes *b, unsigned status, const char *body) {
    char head[256];
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 %u %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n"
                        "request-id: req_bench\r\nx-request-id: req_bench\r\n%s\r\n",
                        status, status == 200 ? "OK" : "Told", strlen(body), status == 429 ? "retry-after: 1\r\n" : "");
    append(b, head, (size_t)size);
    append_text(b, body);
}

static const struct bytes *rendered(bool anthropic) {
    static struct bytes answers[2];
    struct bytes *b = &answers[anthropic];
    if (!b->data) append_answer(b, 200, anthropic ? ANTHROPIC_JSON : OPENAI_JSON);
    return b;
}

static void set_timer(struct connection *c, uint64_t due_ns) { c->ticket = add_timer(c->fd, due_ns); }

/* --- connections ------------------------------------------------------------------------------------------ */

static void open_connection(int fd) {
    if (fd >= MAX_FDS) { close(fd); return; }
    int yes = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct connection *c = calloc(1, sizeof *c);
    if (!c) fail("calloc");
    c->fd = fd;
    connections[fd] = c;
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
    stats.connections++;
    if (++stats.open > stats.max_open) stats.max_open = stats.open;
}

static void close_connection(struct connection *c) {
    if (c->phase != IDLE || c->out.end > c->out.start) {
        stats.aborts++;
        stats.abort_ns = now_ns();
    }
    if (c->phase != IDLE) stats.active--;
    stats.open--;
    connections[c->fd] = NULL;
    close(c->fd);
    free(c->in.data);
    free(c->out.data);
    free(c);
}

/* True when everything is written; false when the peer must read first, or is gone (the next event tells). */
static bool flush(struct connection *c) {
    while (c->out.start < c->out.end) {
        ssize_t n = send(c->fd, c->out.data + c->out.start, c->out.end - c->out.start, MSG_NOSIGNAL);
        if (n < 0) return false;
        c->out.start += (size_t)n;
    }
    return true;
}

/* --- answers ---------------------------------------------------------------------------------------------- */

static void finish(struct connection *c) {
    c->phase = IDLE;
    c->close_when_flushed = c->request.close;
    stats.active--;
    stats.answered++;
}

static void end_stream(struct connection *c) {
    if (c->request.anthropic) {
        append_chunk(&c->out, ANTHROPIC_LAST, sizeof ANTHROPIC_LAST - 1);
    } else {
        append_chunk(&c->out, OPENAI_STOP, sizeof OPENAI_STOP - 1);
        if (c->request.include_usage) append_chunk(&c->out, OPENAI_STREAM_USAGE, sizeof OPENAI_STREAM_USAGE - 1);
        append_chunk(&c->out, OPENAI_DONE, sizeof OPENAI_DONE - 1);
    }
    append_text(&c->out, "0\r\n\r\n");
    finish(c);
}

/* Send the chunks that are due, at most one turn's worth; stop where the peer does not read. */
static void stream_on(struct connection *c) {
    const char *format = c->request.anthropic ? ANTHROPIC_CHUNK : OPENAI_CHUNK;
    char text[MAX_CHUNK];
    for (int turn = 0; c->chunk < settings.chunks; turn++) {
        if (turn == CHUNKS_PER_TURN) { set_timer(c, now_ns()); return; }
        for (uint64_t i = 0; i < settings.burst && c->chunk < settings.chunks; i++) {
            int size = snprintf(text, sizeof text, format, (unsigned)c->chunk++);
            append_chunk(&c->out, text, (size_t)size);
            stats.chunks_sent++;
        }
        if (!flush(c)) return;  /* EPOLLOUT resumes it */
        if (settings.chunk_us && c->chunk < settings.chunks) { set_timer(c, now_ns() + settings.chunk_us * 1000); return; }
    }
    end_stream(c);
}

static void begin_stream(struct connection *c) {
    c->phase = STREAMING;
    c->chunk = 0;
    append(&c->out, STREAM_HEAD, sizeof STREAM_HEAD - 1);
    if (c->request.anthropic) append_chunk(&c->out, ANTHROPIC_FIRST, sizeof ANTHROPIC_FIRST - 1);
    else append_chunk(&c->out, OPENAI_FIRST, sizeof OPENAI_FIRST - 1);
    if (!flush(c)) return;
    if (settings.chunk_us) set_timer(c, now_ns() + settings.chunk_us * 1000);
    else stream_on(c);
}

static void answer(struct connection *c) {
    if (settings.status != 200) {
        append_answer(&c->out, (unsigned)settings.status, c->request.anthropic ? ANTHROPIC_ERROR : OPENAI_ERROR);
        finish(c);
    } else if (c->request.stream) {
        begin_stream(c);
    } else {
        const struct bytes *b = rendered(c->request.anthropic);
        append(&c->out, b->data, b->end);
        finish(c);
    }
}

static void begin(struct connection *c) {
    stats.requests++;
    if (++stats.active > stats.max_active) stats.max_active = stats.active;
    c->phase = DELAYED;
    if (settings.delay_us) set_timer(c, now_ns() + settings.delay_us * 1000);
    else answer(c);
}

/* --- control ---------------------------------------------------------------------------------------------- */

static bool set_one(const char *key, size_t size, uint64_t value) {
    struct { const char *name; uint64_t *value; } names[] = {
        {"delay_us", &settings.delay_us}, {"chunks", &settings.chunks}, {"chunk_us", &settings.chunk_us},
        {"burst", &settings.burst}, {"status", &settings.status},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (strlen(names[i].name) != size || memcmp(names[i].name, key, size)) continue;
        *names[i].value = value;
        if (!settings.burst) settings.burst = 1;
        return true;
    }
    return false;
}

static bool set_all(const char *query) {
    while (*query) {
        const char *equals = strchr(query, '=');
        if (!equals) return false;
        char *end;
        uint64_t value = strtoull(equals + 1, &end, 10);
        if (end == equals + 1 || (*end && *end != '&') || !set_one(query, (size_t)(equals - query), value)) return false;
        query = *end ? end + 1 : end;
    }
    return true;
}

static void append_stats(struct bytes *out) {
    char text[512];
    snprintf(text, sizeof text,
             "{\"open\":%lu,\"max_open\":%lu,\"connections\":%lu,\"requests\":%lu,\"active\":%lu,\"max_concurrent\":%lu,"
             "\"answered\":%lu,\"aborts\":%lu,\"abort_ns\":%lu,\"chunks_sent\":%lu}",
             stats.open, stats.max_open, stats.connections, stats.requests, stats.active, stats.max_active,
             stats.answered, stats.aborts, stats.abort_ns, stats.chunks_sent);
    append_answer(out, 200, text);
}

static void reset_stats(void) {
    uint64_t open = stats.open, active = stats.active;
    memset(&stats, 0, sizeof stats);
    stats.open = stats.max_open = open;
    stats.active = stats.max_active = active;
}

static void control(struct connection *c, const char *path) {
    if (!strncmp(path, "/__set?", 7)) {
        if (set_all(path + 7)) append_answer(&c->out, 200, "{}");
        else append_answer(&c->out, 400, "{\"error\":\"delay_us, chunks, chunk_us, burst and status can be set, to numbers\"}");
    } else if (!strcmp(path, "/__stats")) {
        append_stats(&c->out);
    } else if (!strcmp(path, "/__reset")) {
        reset_stats();
        append_answer(&c->out, 200, "{}");
    } else {
        append_answer(&c->out, 404, "{\"error\":\"no such page\"}");
    }
}

/* --- requests --------------------------------------------------------------------------------------------- */

static bool has(const char *text, size_t size, const char *word) { return memmem(text, size, word, strlen(word)) != NULL; }

static void dispatch(struct connection *c, const struct head *head, const char *body, size_t size) {
    c->request = (struct request){.close = head->close};
    bool anthropic = strstr(head->path, "/v1/messages") != NULL;
    if (strcmp(head->method, "POST") || !(anthropic || strstr(head->path, "/chat/completions"))) {
        control(c, head->path);
        c->close_when_flushed = head->close;
        return;
    }
    c->request.anthropic = anthropic;
    c->request.stream = has(body, size, "\"stream\":true") || has(body, size, "\"stream\": true");
    c->request.include_usage = has(body, size, "\"include_usage\"");
    begin(c);
}

enum parsed { TAKEN, INCOMPLETE, BROKEN };

static enum parsed take_request(struct connection *c) {
    char *text = c->in.data + c->in.start;
    size_t size = c->in.end - c->in.start;
    char *blank = size ? memmem(text, size, "\r\n\r\n", 4) : NULL;
    if (!blank) return size > READ_ROOM ? BROKEN : INCOMPLETE;
    struct head head;
    if (!parse_head(text, (size_t)(blank - text) + 4, &head) || head.content_length > MAX_REQUEST) return BROKEN;
    const char *body = text + head.size;
    size_t there = size - head.size, taken = head.content_length;
    if (head.chunked ? !(taken = chunked_body(body, there, NULL)) : there < taken) {
        if (head.expects_continue && !c->told_to_continue) append_text(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
        c->told_to_continue = true;
        return size > MAX_REQUEST ? BROKEN : INCOMPLETE;
    }
    c->told_to_continue = false;
    c->in.start += head.size + taken;
    if (head.chunked) {
        struct bytes whole = {0};
        chunked_body(body, there, &whole);
        dispatch(c, &head, whole.data, whole.end);
        free(whole.data);
    } else {
        dispatch(c, &head, body, taken);
    }
    return TAKEN;
}

/* Take requests until one has to wait or none is complete; write what there is. False: the connection is gone. */
static bool pump(struct connection *c) {
    enum parsed parsed = TAKEN;
    while (parsed == TAKEN && c->phase == IDLE && !c->close_when_flushed) parsed = take_request(c);
    if (parsed == BROKEN) append_answer(&c->out, 400, "{\"error\":\"not a request\"}");
    bool flushed = flush(c);
    if (parsed == BROKEN || (flushed && c->phase == IDLE && c->close_when_flushed)) {
        close_connection(c);
        return false;
    }
    return true;
}

/* --- events ----------------------------------------------------------------------------------------------- */

/* Read what is there. False: the peer has closed. */
static bool receive(struct connection *c) {
    for (;;) {
        reserve(&c->in, READ_ROOM);
        size_t room = c->in.room - c->in.end;
        ssize_t n = recv(c->fd, c->in.data + c->in.end, room, MSG_DONTWAIT);
        if (n == 0) return false;
        if (n < 0) return errno == EAGAIN || errno == EINTR;
        c->in.end += (size_t)n;
        if ((size_t)n < room) return true;  /* drained: a new edge tells of more */
    }
}

static void on_event(struct connection *c, uint32_t events) {
    if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) { close_connection(c); return; }
    if ((events & EPOLLIN) && !receive(c)) { close_connection(c); return; }
    if ((events & EPOLLOUT) && c->out.end > c->out.start && flush(c) && c->phase == STREAMING) {
        if (settings.chunk_us) set_timer(c, now_ns() + settings.chunk_us * 1000);
        else stream_on(c);
    }
    if (events & EPOLLIN || c->out.end > c->out.start || c->phase == IDLE) pump(c);
}

static void run_timers(void) {
    uint64_t now = now_ns();
    for (struct timer due; take_due(now, &due);) {
        struct connection *c = connections[due.fd];
        if (!c || c->ticket != due.ticket) continue;
        if (c->phase == DELAYED) answer(c);
        else if (c->phase == STREAMING) stream_on(c);
        pump(c);
    }
}

static int listen_on(uint16_t port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, 4096) < 0) fail("listen");
    getsockname(fd, (struct sockaddr *)&address, &size);
    printf("port %u\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void accept_all(int listener) {
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) open_connection(fd);
}

static void watch(int fd) {
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
}

int main(int argc, char **argv) {
    prctl(PR_SET_PDEATHSIG, SIGTERM);  /* never outlives the benchmark */
    struct rlimit files = {0};
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    int listener = listen_on(argc > 1 ? (uint16_t)atoi(argv[1]) : 0);
    watch(listener);
    watch(timer_fd);
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(epoll_fd, events, 256, -1);
        if (n < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            uint64_t rings;
            if (fd == listener) accept_all(listener);
            else if (fd == timer_fd) { if (read(timer_fd, &rings, sizeof rings) < 0 && errno != EAGAIN) fail("read"); }
            else if (connections[fd]) on_event(connections[fd], events[i].events);
        }
        run_timers();
        arm_timer_fd(timer_fd);
    }
}
