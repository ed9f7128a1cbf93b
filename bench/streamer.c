/* Reads streams of org.cortexlinux.LLMRouter, one after the other, at next to no cost of its own.
 *
 *   streamer read    [--streams N] [--chunks N] ...   read N streams to their end
 *   streamer leave   [--after N] ...                  close the read end of one stream once N chunks have come
 *
 *   --address A, --name N, --task T, --prompt P, --uid U, --timeout S    as of caller
 *
 * The upstream numbers its chunks (" word0", " word1" ...) and the daemon may put several into one event, so words are
 * counted: a stream is good when its words are 0 to N - 1 of --chunks in their order and "done" ends it.
 *
 * Prints one JSON object. `read`: streams, failures, error (the first), seconds, chunks and events (of all good
 * streams), first_ns and latency_ns (one each per good stream: from the call to its first text, and to its end).
 * `leave`: left_ns on CLOCK_MONOTONIC, chunks, failures, error.
 */
#define _GNU_SOURCE
#include <ctype.h>
#include <poll.h>

#include "client.h"

enum { SERIAL = 16, READ_ROOM = 65536 };

static struct {
    const char *address, *name, *task, *prompt;
    long streams, chunks, after, uid;
    double timeout_s;
} wish = {NULL, ROUTER, "user_chat", "Say hello in one short sentence.", 1, 200, 10, -1, 60};

struct stream { uint64_t asked_ns, first_ns; long words, events; bool done, bad; };

static struct reader bus;
static struct writer request;
static uint64_t deadline_ns;
static char first_error[1024];

/* --- the call --------------------------------------------------------------------------------------------- */

static void marshal_request(void) {
    struct writer body = {0};
    put_conversation(&body, wish.task, NULL, wish.prompt);
    put_options(&body, NULL, 0);
    struct envelope e = {METHOD_CALL, NO_AUTO_START, SERIAL, 0, ROUTER_PATH, ROUTER, "OpenStream", wish.name, "saa{sv}a{sv}"};
    put_message(&request, &e, &body);
    free(body.data);
}

/* False when the time is over. */
static bool wait_for(int fd) {
    for (struct pollfd polled = {fd, POLLIN, 0};;) {
        long left = milliseconds_until(deadline_ns);
        if (!left) {
            char text[64];
            snprintf(text, sizeof text, "no end after %.0f s", wish.timeout_s);
            note(first_error, sizeof first_error, "timeout", text);
            return false;
        }
        int n = poll(&polled, 1, (int)left);
        if (n > 0) return true;
        if (n < 0 && errno != EINTR) die("poll");
    }
}

/* The read end of a new stream, or -1 with the reason noted. */
static int open_stream(struct stream *s, uint32_t serial) {
    struct message m;
    set_serial(&request, serial);
    s->asked_ns = now_ns();
    send_all(bus.fd, request.data, request.size);
    while (wait_for(bus.fd)) {
        if (!receive(&bus)) { errno = ECONNRESET; die("the bus"); }
        while (next_message(&bus, &m)) {
            if (m.reply_serial != serial) continue;
            int fd = take_fd(&bus);
            if (m.type == METHOD_ERROR) note(first_error, sizeof first_error, m.error_name, first_string(&m));
            else if (fd < 0) note(first_error, sizeof first_error, "", "an answer without a descriptor");
            return fd;
        }
    }
    return -1;
}

/* --- the events ------------------------------------------------------------------------------------------- */

/* The words of one event must go on where the last one stopped. */
static void count_words(struct stream *s, const char *line, const char *end) {
    while ((line = memmem(line, (size_t)(end - line), " word", 5))) {
        line += 5;
        if (isdigit((unsigned char)*line) && strtol(line, NULL, 10) == s->words) s->words++;
        else s->bad = true;
    }
}

static bool is_type(const char *line, size_t size, const char *type) {
    static const char KEY[] = "{\"type\":";
    size_t at = sizeof KEY - 1, length = strlen(type);
    if (size < at || memcmp(line, KEY, at)) return false;
    if (at < size && line[at] == ' ') at++;
    return size > at + length + 1 && line[at] == '"' && !memcmp(line + at + 1, type, length) && line[at + 1 + length] == '"';
}

static void take_event(struct stream *s, char *line, size_t size) {
    line[size] = 0;  /* where its newline stood */
    if (is_type(line, size, "text")) {
        if (!s->first_ns) s->first_ns = now_ns();
        s->events++;
        count_words(s, line, line + size);
    } else if (is_type(line, size, "done")) {
        s->done = true;
    } else if (is_type(line, size, "error")) {
        note(first_error, sizeof first_error, "", line);
    }
}

/* Read on until the end, or until `enough` words. False when the time is over. */
static bool read_events(int fd, struct stream *s, long enough) {
    static char *text;
    static size_t room;
    size_t size = 0;
    while (s->words < enough && wait_for(fd)) {
        if (room - size < READ_ROOM && !(text = realloc(text, room = room * 2 + 2 * READ_ROOM))) die("realloc");
        ssize_t n = read(fd, text + size, room - size);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) continue;
        if (n < 0) die("read");
        if (!n) return true;
        size_t taken = 0;
        char *newline;
        for (size += (size_t)n; (newline = memchr(text + taken, '\n', size - taken)); taken = (size_t)(newline - text) + 1)
            take_event(s, text + taken, (size_t)(newline - text) - taken);
        memmove(text, text + taken, size -= taken);
    }
    return s->words >= enough;
}

static bool is_good(const struct stream *s) {
    char text[96];
    if (s->done && !s->bad && s->words == wish.chunks) return true;
    snprintf(text, sizeof text, "%ld of %ld chunks, %s, %s", s->words, wish.chunks, s->bad ? "out of order" : "in order", s->done ? "done" : "no done");
    note(first_error, sizeof first_error, "a stream came with", text);
    return false;
}

/* --- in and out ------------------------------------------------------------------------------------------- */

static void read_streams(void) {
    uint64_t *first_ns = calloc((size_t)wish.streams, 8), *latency_ns = calloc((size_t)wish.streams, 8), start = now_ns();
    long good = 0, events = 0;
    if (!first_ns || !latency_ns) die("calloc");
    for (long i = 0; i < wish.streams; i++) {
        struct stream s = {0};
        int fd = open_stream(&s, (uint32_t)(SERIAL + i));
        if (fd < 0) continue;
        read_events(fd, &s, INT64_MAX);
        close(fd);
        if (!is_good(&s)) continue;
        first_ns[good] = s.first_ns - s.asked_ns;
        latency_ns[good++] = now_ns() - s.asked_ns;
        events += s.events;
    }
    printf("\"seconds\": %.6f, \"streams\": %ld, ", (double)(now_ns() - start) / 1e9, wish.streams);
    printf("\"failures\": %ld, \"chunks\": %ld, \"events\": %ld", wish.streams - good, good * wish.chunks, events);
    print_numbers("first_ns", first_ns, good);
    print_numbers("latency_ns", latency_ns, good);
}

static void leave(void) {
    struct stream s = {0};
    int fd = open_stream(&s, SERIAL);
    bool came = fd >= 0 && read_events(fd, &s, wish.after) && s.words >= wish.after;
    uint64_t left_ns = now_ns();
    if (fd >= 0) close(fd);
    if (!came) note(first_error, sizeof first_error, "", "the stream ended first");
    printf("\"left_ns\": %lu, \"chunks\": %ld, \"failures\": %d", left_ns, s.words, !came);
}

static bool read_option(const char *key, const char *value) {
    if (!strcmp(key, "--address")) wish.address = value;
    else if (!strcmp(key, "--name")) wish.name = value;
    else if (!strcmp(key, "--task")) wish.task = value;
    else if (!strcmp(key, "--prompt")) wish.prompt = value;
    else if (!strcmp(key, "--streams")) wish.streams = atol(value);
    else if (!strcmp(key, "--chunks")) wish.chunks = atol(value);
    else if (!strcmp(key, "--after")) wish.after = atol(value);
    else if (!strcmp(key, "--uid")) wish.uid = atol(value);
    else if (!strcmp(key, "--timeout")) wish.timeout_s = atof(value);
    else return false;
    return true;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    bool known = argc % 2 == 0 && (!strcmp(what, "read") || !strcmp(what, "leave"));
    for (int i = 2; known && i + 1 < argc; i += 2) known = read_option(argv[i], argv[i + 1]);
    if (!known || wish.streams < 1 || wish.chunks < 1 || wish.after < 1) {
        fprintf(stderr, "usage: streamer read|leave [--option value]...; see the head of streamer.c\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    become(wish.uid);
    deadline_ns = now_ns() + (uint64_t)(wish.timeout_s * 1e9);
    connect_to_bus(&bus, wish.address);
    marshal_request();
    printf("{");
    if (*what == 'r') read_streams();
    else leave();
    print_text("error", first_error);
    printf("}\n");
    return 0;
}
