/* Replicas of one model server as a balancer meets them: OpenAI chat completions, each on a port of its own, one process.
 *
 *   replicas COUNT SLOTS BLOCKS    listens on 127.0.0.1 and prints "ports CONTROL R0 R1 ..."
 *
 * The model of one: SLOTS requests at a time, the rest wait in the order they came. A request takes its prefill, the
 * longer the less of the prompt's beginning is in the replica's cache of BLOCKS blocks (prefix_cache.h), and its decoding, by the
 * tokens that the prompt asks for ("tokens=N"). A plain answer comes whole; a stream begins with its first token when prefill
 * is done, and has the others at the end.
 *
 *   POST .../chat/completions, .../chat/completions/render, /tokenize      GET .../models, /health
 * On the control port:
 *   GET /set?replica=N&slow=P      percent of the usual time; 100 at the start
 *   GET /set?replica=N&gone=1      its port refuses, its connections are cut, its cache is lost; gone=0: it is back
 *   GET /stats                     one object a replica: answered, cut, blocks, hits (blocks that were in the cache), active, max_waiting
 *
 * One thread, epoll, timers.h. Loopback only; it trusts its client.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "answers.h"
#include "http.h"
#include "replica_model.h"
#include "timers.h"

enum { MAX_FDS = 16384, CONTROL = MAX_REPLICAS };

static struct connection *connections[MAX_FDS];
static int listener_of[MAX_FDS];  /* the replica that listens there, plus one */
static int epoll_fd, timer_fd;
static unsigned long count;

/* --- answers ---------------------------------------------------------------------------------------------- */

static bool flush(struct connection *c) {
    while (c->out.start < c->out.end) {
        ssize_t n = send(c->fd, c->out.data + c->out.start, c->out.end - c->out.start, MSG_NOSIGNAL);
        if (n < 0) return false;
        c->out.start += (size_t)n;
    }
    return true;
}

static void append_json(struct bytes *out, unsigned status, const char *body) {
    char head[160];
    append(out, head, (size_t)snprintf(head, sizeof head, "HTTP/1.1 %u %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n",
                                       status, status == 200 ? "OK" : "Told", strlen(body)));
    append_text(out, body);
}

static void append_usage(const struct connection *c, char *text, size_t size) {
    unsigned prompt = c->count * BLOCK_CHARS / CHARS_PER_TOKEN;
    snprintf(text, size, "{\"prompt_tokens\":%u,\"completion_tokens\":%u,\"total_tokens\":%u,\"prompt_tokens_details\":{\"cached_tokens\":%u}}",
             prompt, c->tokens, prompt + c->tokens, c->hits * BLOCK_CHARS / CHARS_PER_TOKEN);
}

static void answer(struct connection *c) {
    char usage[192], text[1024];
    append_usage(c, usage, sizeof usage);
    if (!c->stream) {
        snprintf(text, sizeof text, OPENAI_HEAD("chat.completion") "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"" TEXT
                 "\"},\"finish_reason\":\"stop\"}],\"usage\":%s}", usage);
        append_json(&c->out, 200, text);
        return;
    }
    append_chunk(&c->out, text, (size_t)snprintf(text, sizeof text, OPENAI_CHUNK, c->tokens));
    append_chunk(&c->out, OPENAI_STOP, sizeof OPENAI_STOP - 1);
    int size = snprintf(text, sizeof text, "data: " OPENAI_HEAD("chat.completion.chunk") "\"choices\":[],\"usage\":%s}\n\n", usage);
    append_chunk(&c->out, text, (size_t)size);
    append_chunk(&c->out, OPENAI_DONE, sizeof OPENAI_DONE - 1);
    append_text(&c->out, "0\r\n\r\n");
}

/* --- connections ------------------------------------------------------------------------------------------ */

static void close_connection(struct connection *c) {
    struct replica *r = &replicas[c->replica];
    if (c->phase != IDLE) r->cut++;
    leave(c);
    connections[c->fd] = NULL;
    close(c->fd);
    free(c->in.data);
    free(c->out.data);
    free(c);
    start_waiting(r);
}

static void on_timer(struct connection *c) {
    struct replica *r = &replicas[c->replica];
    char text[512];
    if (c->phase == PREFILL) {
        c->phase = DECODE;
        c->ticket = add_timer(c->fd, now_ns() + c->decode_ns);
        if (!c->stream) return;
        append(&c->out, STREAM_HEAD, sizeof STREAM_HEAD - 1);
        append_chunk(&c->out, OPENAI_FIRST, sizeof OPENAI_FIRST - 1);
        append_chunk(&c->out, text, (size_t)snprintf(text, sizeof text, OPENAI_CHUNK, 1u));
        flush(c);
        return;
    }
    answer(c);
    leave(c);
    r->answered++;
    start_waiting(r);
    if (flush(c) && c->close_after) close_connection(c);
}

/* --- ports ------------------------------------------------------------------------------------------------ */

static void watch(int fd, uint32_t events) {
    struct epoll_event event = {.events = events, .data.fd = fd};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0) fail("epoll_ctl");
}

static void listen_at(int which) {
    struct replica *r = &replicas[which];
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(r->port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int yes = 1;
    r->listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(r->listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (r->listener < 0 || bind(r->listener, (struct sockaddr *)&address, size) < 0 || listen(r->listener, 1024) < 0) fail("listen");
    getsockname(r->listener, (struct sockaddr *)&address, &size);
    r->port = ntohs(address.sin_port);
    listener_of[r->listener] = which + 1;
    watch(r->listener, EPOLLIN);
}

static void vanish(int which) {
    struct replica *r = &replicas[which];
    if (r->listener < 0) return;
    listener_of[r->listener] = 0;
    close(r->listener);
    r->listener = -1;
    for (int fd = 0; fd < MAX_FDS; fd++) if (connections[fd] && connections[fd]->replica == which) close_connection(connections[fd]);
    forget_all(&r->cache);
}

static void accept_all(int listener) {
    int which = listener_of[listener] - 1, yes = 1;
    for (int fd; (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0;) {
        struct connection *c = fd < MAX_FDS ? calloc(1, sizeof *c) : NULL;
        if (!c) fail("accept");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        c->fd = fd;
        c->replica = which;
        connections[fd] = c;
        watch(fd, EPOLLIN | EPOLLRDHUP);
    }
}

/* --- control ---------------------------------------------------------------------------------------------- */

static bool set(const char *path) {
    unsigned long which, value;
    if (sscanf(path, "/set?replica=%lu&slow=%lu", &which, &value) == 2 && which < count && value) {
        replicas[which].slow = value;
    } else if (sscanf(path, "/set?replica=%lu&gone=%lu", &which, &value) == 2 && which < count) {
        if (value) vanish((int)which);
        else if (replicas[which].listener < 0) listen_at((int)which);
    } else {
        return false;
    }
    return true;
}

static void append_stats(struct bytes *out) {
    char text[MAX_REPLICAS * 160] = "";
    size_t size = 0;
    for (unsigned long i = 0; i < count; i++) {
        const struct replica *r = &replicas[i];
        size += (size_t)snprintf(text + size, sizeof text - size,
            "%s{\"answered\":%lu,\"cut\":%lu,\"blocks\":%lu,\"hits\":%lu,\"active\":%lu,\"max_waiting\":%lu}",
            i ? "," : "[", r->answered, r->cut, r->blocks, r->hits, r->active + r->waiting, r->max_waiting);
    }
    snprintf(text + size, sizeof text - size, "]");
    append_json(out, 200, text);
}

static void control(struct connection *c, const char *path) {
    if (!strcmp(path, "/stats")) append_stats(&c->out);
    else append_json(&c->out, set(path) ? 200 : 400, "{}");
}

/* What routers ask vLLM before they choose a replica. It costs the model nothing: no slot, no cache. */
static void tokenize(struct connection *c, const struct bytes *body, const char *key) {
    struct bytes prompt = {0}, out = {0};
    char text[96];
    take_texts(&prompt, body->data, body->end);
    append(&out, text, (size_t)snprintf(text, sizeof text, "{\"count\":%zu,\"max_model_len\":32768,\"%s\":[", prompt.end / CHARS_PER_TOKEN, key));
    append_token_ids(&out, &prompt);
    append(&out, "]}", 3);
    append_json(&c->out, 200, out.data);
    free(prompt.data);
    free(out.data);
}

static void get(struct connection *c, const char *path) {
    if (strstr(path, "/models")) append_json(&c->out, 200, "{\"object\":\"list\",\"data\":[{\"id\":\"sim\",\"object\":\"model\",\"max_model_len\":32768}]}");
    else append_json(&c->out, strcmp(path, "/health") ? 404 : 200, "{}");
}

/* --- events ----------------------------------------------------------------------------------------------- */

static bool posted_to(const struct head *head, const char *end) {
    size_t size = strlen(head->path);
    return !strcmp(head->method, "POST") && size >= strlen(end) && !strcmp(head->path + size - strlen(end), end);
}

static void dispatch(struct connection *c, const struct head *head, const struct bytes *body) {
    if (c->replica == CONTROL) control(c, head->path);
    else if (posted_to(head, "/chat/completions/render")) tokenize(c, body, "token_ids");
    else if (posted_to(head, "/tokenize")) tokenize(c, body, "tokens");
    else if (posted_to(head, "/chat/completions")) { read_request(c, body->data, body->end); begin(c); }
    else get(c, head->path);
    if (c->phase == IDLE && flush(c) && c->close_after) close_connection(c);
}

/* Take the one request that stands there, if it is whole; false: it is none. A client sends the next after its answer. */
static bool take_request(struct connection *c) {
    char *text = c->in.data + c->in.start, *blank = memmem(text, c->in.end - c->in.start, "\r\n\r\n", 4);
    struct head head;
    struct bytes whole = {0};
    if (!blank) return true;
    if (!parse_head(text, (size_t)(blank - text) + 4, &head)) return false;
    size_t there = c->in.end - c->in.start - head.size, size = head.content_length;
    if (head.chunked ? !(size = chunked_body(text + head.size, there, &whole)) : there < size) { free(whole.data); return true; }
    if (!head.chunked) append(&whole, text + head.size, size);
    c->in.start += head.size + size;
    c->close_after = head.close;
    dispatch(c, &head, &whole);
    free(whole.data);
    return true;
}

static void on_event(struct connection *c, uint32_t events) {
    if (events & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) { close_connection(c); return; }
    reserve(&c->in, READ_ROOM);
    ssize_t n = recv(c->fd, c->in.data + c->in.end, c->in.room - c->in.end, MSG_DONTWAIT);
    if (n == 0 || (n < 0 && errno != EAGAIN)) { close_connection(c); return; }
    if (n > 0) c->in.end += (size_t)n;
    if (c->phase == IDLE && !take_request(c)) close_connection(c);
}

static void run_timers(void) {
    uint64_t now = now_ns();
    for (struct timer due; take_due(now, &due);) {
        struct connection *c = connections[due.fd];
        if (c && c->ticket == due.ticket && c->phase > WAITING) on_timer(c);
    }
    arm_timer_fd(timer_fd);
}

static void open_ports(unsigned long blocks) {
    listen_at(CONTROL);
    printf("ports %u", replicas[CONTROL].port);
    for (unsigned long i = 0; i < count; i++) {
        replicas[i].slow = 100;
        replicas[i].last = &replicas[i].first;
        make_cache(&replicas[i].cache, (uint32_t)blocks);
        listen_at((int)i);
        printf(" %u", replicas[i].port);
    }
    printf("\n");
    fflush(stdout);
}

int main(int argc, char **argv) {
    unsigned long blocks = argc == 4 ? strtoul(argv[3], NULL, 10) : 0;
    count = blocks ? strtoul(argv[1], NULL, 10) : 0;
    slots = blocks ? strtoul(argv[2], NULL, 10) : 0;
    if (!count || count > MAX_REPLICAS || !slots) { fprintf(stderr, "usage: replicas COUNT SLOTS BLOCKS; see the head of replicas.c\n"); return 2; }
    prctl(PR_SET_PDEATHSIG, SIGTERM);  /* never outlives the benchmark */
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    watch(timer_fd, EPOLLIN);
    open_ports(blocks);
    for (;;) {
        struct epoll_event events[256];
        int n = epoll_wait(epoll_fd, events, 256, -1);
        if (n < 0 && errno != EINTR) fail("epoll_wait");
        for (int i = 0; i < n; i++) {
            int fd = events[i].data.fd;
            uint64_t rings;
            if (fd == timer_fd) { if (read(timer_fd, &rings, sizeof rings) < 0 && errno != EAGAIN) fail("read"); }
            else if (listener_of[fd]) accept_all(fd);
            else if (connections[fd]) on_event(connections[fd], events[i].events);
        }
        run_timers();
    }
}
