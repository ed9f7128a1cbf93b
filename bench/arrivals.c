/* Requests that arrive when they arrive (an open loop): it asks at the times of a schedule, whatever is still unanswered.
 *
 *   arrivals http PORT[,PORT...] < SCHEDULE    OpenAI chat completions on 127.0.0.1, the ports in turns
 *   arrivals bus UID < SCHEDULE                Complete of org.cortexlinux.LLMRouter, as this user
 *
 * A line of the schedule: microseconds since the start, then the prompt: number and characters of the system's message,
 * number and characters of the user's, tokens to answer with. The same number gives the same text.
 *
 * Prints one JSON object: calls, failures, error (the first), seconds, latency_ns (one per arrival, from the time that the
 * schedule says to the end of the answer; 0 where it failed). What has no answer TIMEOUT_S after the last arrival failed.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include "client.h"
#include "http.h"

enum { MAX_CONNECTIONS = 2048, MAX_PORTS = 64, FIRST_SERIAL = 16, PER_CONNECTION = 60, TIMEOUT_S = 30 };

struct arrival { uint64_t at_ns; unsigned long prefix, prefix_chars, suffix, suffix_chars, tokens; };

/* A connection of either kind: `asked` is the arrival that an HTTP one waits for, `in_flight` counts what is under way. */
struct connection { struct reader bus; struct bytes in; long asked, in_flight, port; };

static struct arrival *arrivals;
static long count, asked, answered, failures;
static uint64_t *latency_ns, begin_ns;
static struct connection connections[MAX_CONNECTIONS];
static struct pollfd polled[MAX_CONNECTIONS];
static long open_connections;
static long ports[MAX_PORTS], port_count;
static char first_error[512];

/* --- the schedule ----------------------------------------------------------------------------------------- */

static void read_schedule(void) {
    long room = 0;
    struct arrival a;
    while (scanf("%lu %lu %lu %lu %lu %lu", &a.at_ns, &a.prefix, &a.prefix_chars, &a.suffix, &a.suffix_chars, &a.tokens) == 6) {
        if (count == room && !(arrivals = realloc(arrivals, (size_t)(room = room * 2 + 1024) * sizeof a))) die("realloc");
        a.at_ns *= 1000;
        arrivals[count++] = a;
    }
    if (!count || !(latency_ns = calloc((size_t)count, 8))) { fprintf(stderr, "no schedule\n"); exit(2); }
}

/* Words of five letters. */
static char *put_text(char *at, unsigned long number, unsigned long chars) {
    uint64_t x = number * 0x9E3779B97F4A7C15u + 1;
    for (unsigned long i = 0; i < chars; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        *at++ = i % 6 == 5 ? ' ' : (char)('a' + x % 26);
    }
    return at;
}

struct prompt { const char *system, *user; };

/* The prompt of an arrival, good until the next call. */
static struct prompt prompt_of(const struct arrival *a) {
    static char *text;
    static size_t room;
    size_t wanted = a->prefix_chars + a->suffix_chars + 64;
    if (room < wanted && !(text = realloc(text, room = wanted))) die("realloc");
    char *at = put_text(text, a->prefix, a->prefix_chars);
    *at++ = 0;
    struct prompt p = {text, at};
    sprintf(put_text(at, a->suffix, a->suffix_chars), " tokens=%lu", a->tokens);
    return p;
}

/* --- answers ---------------------------------------------------------------------------------------------- */

static void succeed(long which) {
    answered++;
    latency_ns[which] = now_ns() - begin_ns - arrivals[which].at_ns;
}

static void fail_one(const char *name, const char *text) {
    note(first_error, sizeof first_error, name, text);
    answered++;
    failures++;
}

static long add_connection(int fd) {
    if (open_connections == MAX_CONNECTIONS) { errno = EMFILE; die("connections"); }
    connections[open_connections] = (struct connection){.asked = -1};
    polled[open_connections] = (struct pollfd){fd, POLLIN, 0};
    return open_connections++;
}

/* --- HTTP ------------------------------------------------------------------------------------------------- */

static int connect_to(long port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    if (fd < 0) die("socket");
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0) { close(fd); return -1; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
}

static struct connection *idle_on(long port) {
    for (long i = 0; i < open_connections; i++)
        if (polled[i].fd >= 0 && connections[i].port == port && connections[i].asked < 0) return &connections[i];
    int fd = connect_to(port);
    if (fd < 0) return NULL;
    struct connection *c = &connections[add_connection(fd)];
    c->port = port;
    return c;
}

#define HEAD "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n"

static void ask_http(long which) {
    static struct bytes out;
    char head[256];
    struct prompt prompt = prompt_of(&arrivals[which]);
    const char *parts[] = {"{\"model\":\"sim\",\"messages\":[{\"role\":\"system\",\"content\":\"", prompt.system,
                           "\"},{\"role\":\"user\",\"content\":\"", prompt.user, "\"}]}"};
    size_t size = 0;
    struct connection *c = idle_on(ports[which % port_count]);
    if (!c) { fail_one("connect", strerror(errno)); return; }
    for (int i = 0; i < 5; i++) size += strlen(parts[i]);
    out.start = out.end = 0;
    append(&out, head, (size_t)snprintf(head, sizeof head, HEAD, size));
    for (int i = 0; i < 5; i++) append_text(&out, parts[i]);
    c->asked = which;
    c->in.start = c->in.end = 0;
    if (send(polled[c - connections].fd, out.data, out.end, MSG_NOSIGNAL) < 0) errno = 0;  /* what it reads will tell */
}

/* 1: the answer is whole; 0: not yet. */
static int is_whole(const struct connection *c) {
    const char *text = c->in.data, *blank = memmem(text, c->in.end, "\r\n\r\n", 4);
    if (!blank) return 0;
    size_t head = (size_t)(blank - text) + 4, there = c->in.end - head;
    const char *length = strcasestr(text, "\r\ncontent-length:");
    if (length && length < blank) return there >= strtoull(length + 17, NULL, 10);
    return chunked_body(blank + 4, there, NULL) > 0;
}

static void hang_up(long i) {
    close(polled[i].fd);
    polled[i].fd = -1;  /* poll leaves it out */
    free(connections[i].in.data);
    connections[i].in = (struct bytes){0};
    if (connections[i].asked >= 0) fail_one("HTTP", "the connection was closed before an answer");
    connections[i].asked = -1;
}

static void read_http(long i) {
    struct connection *c = &connections[i];
    reserve(&c->in, READ_ROOM);
    ssize_t n = recv(polled[i].fd, c->in.data + c->in.end, c->in.room - c->in.end - 1, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n <= 0) { hang_up(i); return; }
    c->in.end += (size_t)n;
    c->in.data[c->in.end] = 0;
    if (c->asked < 0 || !is_whole(c)) return;
    if (!strncmp(c->in.data, "HTTP/1.1 200", 12) && strstr(c->in.data, "\"content\":\"")) succeed(c->asked);
    else fail_one("HTTP", c->in.data);
    c->asked = -1;
}

/* --- the bus ---------------------------------------------------------------------------------------------- */

static void ask_bus(long which) {
    static struct writer message;
    struct writer body = {0};
    long at = 0;
    while (at < open_connections && connections[at].in_flight >= PER_CONNECTION) at++;
    if (at == open_connections) {
        at = add_connection(-1);
        connect_to_bus(&connections[at].bus, NULL);
        polled[at].fd = connections[at].bus.fd;
    }
    struct prompt prompt = prompt_of(&arrivals[which]);
    put_conversation(&body, "user_chat", prompt.system, prompt.user);
    struct envelope e = {METHOD_CALL, NO_AUTO_START, (uint32_t)(FIRST_SERIAL + which), 0, ROUTER_PATH, ROUTER, "Complete", ROUTER, "saa{sv}"};
    put_message(&message, &e, &body);
    free(body.data);
    connections[at].in_flight++;
    send_all(connections[at].bus.fd, message.data, message.size);
}

static void read_bus(long i) {
    struct connection *c = &connections[i];
    struct message m;
    if (!receive(&c->bus)) { errno = ECONNRESET; die("the bus"); }
    while (next_message(&c->bus, &m)) {
        if (m.reply_serial < FIRST_SERIAL || m.reply_serial >= FIRST_SERIAL + (uint64_t)count) continue;
        const char *text = first_string(&m);
        c->in_flight--;
        if (m.type == METHOD_RETURN && *text) succeed((long)m.reply_serial - FIRST_SERIAL);
        else fail_one(m.type == METHOD_ERROR ? m.error_name : "an answer without text", text);
    }
}

/* --- the loop --------------------------------------------------------------------------------------------- */

static void run(bool http) {
    uint64_t deadline = arrivals[count - 1].at_ns + TIMEOUT_S * 1000000000ull;
    while (answered < count) {
        uint64_t now = now_ns() - begin_ns;
        for (; asked < count && arrivals[asked].at_ns <= now; asked++) (http ? ask_http : ask_bus)(asked);
        if (now >= deadline) break;
        uint64_t next = asked < count ? arrivals[asked].at_ns : deadline, left = next > now ? next - now : 0;
        struct timespec wait = {(time_t)(left / 1000000000u), (long)(left % 1000000000u)};
        if (ppoll(polled, (nfds_t)open_connections, &wait, NULL) < 0 && errno != EINTR) die("poll");
        for (long i = 0; i < open_connections; i++) if (polled[i].fd >= 0 && polled[i].revents) (http ? read_http : read_bus)(i);
    }
    while (answered < count) fail_one("timeout", "no answer");
}

static bool read_ports(char *text) {
    for (char *one = strtok(text, ","); one && port_count < MAX_PORTS; one = strtok(NULL, ",")) ports[port_count++] = atol(one);
    return port_count;
}

int main(int argc, char **argv) {
    bool http = argc == 3 && !strcmp(argv[1], "http"), bus = argc == 3 && !strcmp(argv[1], "bus");
    if (!(http && read_ports(argv[2])) && !bus) { fprintf(stderr, "usage: arrivals http PORT[,PORT...] | bus UID; see the head of arrivals.c\n"); return 2; }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    if (bus) become(atol(argv[2]));
    read_schedule();
    begin_ns = now_ns();
    run(http);
    printf("{\"calls\": %ld, \"failures\": %ld, \"seconds\": %.6f", count, failures, (double)(now_ns() - begin_ns) / 1e9);
    print_text("error", first_error);
    print_numbers("latency_ns", latency_ns, count);
    printf("}\n");
    return 0;
}
