/* Asks an HTTP upstream as fast as it answers, to prove that the upstream is not what a benchmark measures.
 *
 *   load PORT CONNECTIONS MILLISECONDS     one request in flight per connection, keep-alive
 *
 * Prints {"answers": N, "seconds": S}. Anything but a 200 with the same length as the first ends it with status 1.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { MAX_CONNECTIONS = 1024 };

static const char BODY[] =
    "{\"model\":\"claude-sonnet-5-5\",\"max_tokens\":4096,\"messages\":[{\"role\":\"user\",\"content\":\"Say hello.\"}]}";
static char request[512];
static size_t request_size;
static struct { int fd; size_t got; } connections[MAX_CONNECTIONS];

static void fail(const char *what) { perror(what); exit(1); }

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void ask(int fd) {
    if (send(fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) fail("send");
}

static int connect_to(uint16_t port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) < 0) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    return fd;
}

/* Size of the answer whose whole text stands in `text`; 0 when it is not a whole 200. */
static size_t answer_size(const char *text, size_t size) {
    const char *blank = memmem(text, size, "\r\n\r\n", 4), *length = strcasestr(text, "\r\ncontent-length:");
    if (strncmp(text, "HTTP/1.1 200", 12) || !blank || !length) return 0;
    size_t whole = (size_t)(blank - text) + 4 + strtoull(length + 17, NULL, 10);
    return whole == size ? whole : 0;
}

int main(int argc, char **argv) {
    if (argc != 4) { fprintf(stderr, "usage: load PORT CONNECTIONS MILLISECONDS\n"); return 2; }
    int count = atoi(argv[2]), epoll_fd = epoll_create1(0);
    if (count < 1 || count > MAX_CONNECTIONS) { fprintf(stderr, "CONNECTIONS: 1 to %d\n", MAX_CONNECTIONS); return 2; }
    request_size = (size_t)snprintf(request, sizeof request,
        "POST /v1/messages HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
        sizeof BODY - 1, BODY);
    for (int i = 0; i < count; i++) {
        connections[i].fd = connect_to((uint16_t)atoi(argv[1]));
        struct epoll_event event = {.events = EPOLLIN, .data.u32 = (uint32_t)i};
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, connections[i].fd, &event);
    }
    static char text[65536];
    ask(connections[0].fd);
    ssize_t first = recv(connections[0].fd, text, sizeof text - 1, 0);
    size_t whole = first > 0 ? answer_size(text, (size_t)first) : 0;
    if (!whole) { fprintf(stderr, "the first answer is no whole 200: %s\n", text); return 1; }

    uint64_t answers = 0;
    double start = now(), end = start + atoi(argv[3]) / 1e3;
    for (int i = 0; i < count; i++) ask(connections[i].fd);
    while (now() < end) {
        struct epoll_event events[256];
        int n = epoll_wait(epoll_fd, events, 256, 1000);
        if (n == 0) { fprintf(stderr, "no answer for a second\n"); return 1; }
        for (int i = 0; i < n; i++) {
            uint32_t at = events[i].data.u32;
            ssize_t got = recv(connections[at].fd, text, sizeof text - 1, 0);
            if (got <= 0) fail("recv");
            if (!connections[at].got && strncmp(text, "HTTP/1.1 200", 12)) { fprintf(stderr, "not a 200: %.60s\n", text); return 1; }
            connections[at].got += (size_t)got;
            if (connections[at].got < whole) continue;
            connections[at].got = 0;
            answers++;
            ask(connections[at].fd);
        }
    }
    printf("{\"answers\": %lu, \"seconds\": %.6f}\n", answers, now() - start);
    return 0;
}
