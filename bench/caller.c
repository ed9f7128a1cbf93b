/* A client of org.cortexlinux.LLMRouter whose own cost is small: it marshals `Complete` once and sends it again and again.
 *
 *   caller run    [--in-flight N] [--calls N] ...    keep N calls in flight until all are answered
 *   caller batch  [--in-flight N] [--calls N] ...    the same number of requests in one CompleteBatch, N at a time
 *   caller start  [--name NAME] ...                  wait for the name to have an owner, then make one call
 *   caller wait   [--name NAME] ...                  wait for the name to have an owner
 *
 *   --address A     the bus; default DBUS_SYSTEM_BUS_ADDRESS, then the system bus
 *   --name N        the service; default org.cortexlinux.LLMRouter
 *   --task T        the task type; default user_chat       --prompt P   the one user message
 *   --prompt-file F the file that holds it
 *   --uid U         become this user (and its groups) first
 *   --per-connection N   calls in flight on one connection; default 64 (the system bus allows 128)
 *   --timeout S     give up after S seconds; what is unanswered then counts as failed
 *
 * Prints one JSON object. `run` and `batch`: calls, failures, error (the first), content (of the first answer), seconds, cpu_s
 * (the caller's own), latency_ns (one per good answer, in the order they came). `start`: name_ns and answer_ns on
 * CLOCK_MONOTONIC. An answer without text is a failure.
 */
#define _GNU_SOURCE
#include <poll.h>

#include "client.h"

enum { MAX_CONNECTIONS = 256, FIRST_SERIAL = 16 };

static struct {
    const char *address, *name, *task, *prompt;
    long in_flight, calls, per_connection, uid;
    double timeout_s;
} wish = {NULL, "org.cortexlinux.LLMRouter", "user_chat", "Say hello in one short sentence.", 1, 1, 64, -1, 60};

static struct reader connections[MAX_CONNECTIONS];
static struct writer request;
static uint64_t *asked_ns, *latency_ns, deadline_ns;
static long asked, answered, failures;
static char first_error[1024], first_content[1024];

/* --- the call --------------------------------------------------------------------------------------------- */

static void marshal_request(void) {
    struct writer body = {0};
    put_conversation(&body, wish.task, NULL, wish.prompt);
    struct envelope e = {METHOD_CALL, NO_AUTO_START, 1, 0, ROUTER_PATH, ROUTER, "Complete", wish.name, "saa{sv}"};
    put_message(&request, &e, &body);
    free(body.data);
}

static void marshal_batch(void) {
    struct writer body = {0};
    size_t at, start = begin_array(&body, 8, &at);
    for (long i = 0; i < wish.calls; i++) {
        put_padding(&body, 8);
        put_conversation(&body, wish.task, NULL, wish.prompt);
    }
    end_array(&body, start, at);
    put_options(&body, "parallel", wish.in_flight);
    struct envelope e = {METHOD_CALL, NO_AUTO_START, FIRST_SERIAL, 0, ROUTER_PATH, ROUTER, "CompleteBatch", wish.name, "a(saa{sv})a{sv}"};
    put_message(&request, &e, &body);
    free(body.data);
}

static void ask(struct reader *r) {
    if (asked >= wish.calls) return;
    set_serial(&request, (uint32_t)(FIRST_SERIAL + asked));
    asked_ns[asked++] = now_ns();
    send_all(r->fd, request.data, request.size);
}

static void take_answer(const struct message *m, uint64_t now) {
    uint64_t took = now - asked_ns[m->reply_serial - FIRST_SERIAL];
    const char *text = first_string(m);
    if (m->type == METHOD_RETURN && *text) {
        note(first_content, sizeof first_content, "", text);
        latency_ns[answered - failures] = took;
    } else {
        note(first_error, sizeof first_error, m->type == METHOD_ERROR ? m->error_name : "an answer without text", text);
        failures++;
    }
    answered++;
}

static void read_answers(struct reader *r) {
    struct message m;
    if (!receive(r)) { errno = ECONNRESET; die("the bus"); }
    uint64_t now = now_ns();
    while (next_message(r, &m)) {
        if (m.reply_serial < FIRST_SERIAL || m.reply_serial >= FIRST_SERIAL + (uint64_t)asked) continue;
        take_answer(&m, now);
        ask(r);
    }
}

static void give_up(void) {
    char text[128];
    snprintf(text, sizeof text, "%ld calls without an answer after %.0f s", wish.calls - answered, wish.timeout_s);
    note(first_error, sizeof first_error, "timeout", text);
    failures += wish.calls - answered;
    answered = wish.calls;
}

static long milliseconds_left(void) { return milliseconds_until(deadline_ns); }

static void run(void) {
    static struct pollfd polled[MAX_CONNECTIONS];
    long count = (wish.in_flight + wish.per_connection - 1) / wish.per_connection;
    if (count > MAX_CONNECTIONS) count = MAX_CONNECTIONS;
    for (long i = 0; i < count; i++) {
        connect_to_bus(&connections[i], wish.address);
        polled[i] = (struct pollfd){connections[i].fd, POLLIN, 0};
    }
    uint64_t start = now_ns();
    for (long i = 0; i < wish.in_flight; i++) ask(&connections[i % count]);
    while (answered < wish.calls) {
        long left = milliseconds_left();
        if (!left) { give_up(); break; }
        if (poll(polled, (nfds_t)count, (int)left) < 0 && errno != EINTR) die("poll");
        for (long i = 0; i < count; i++) if (polled[i].revents) read_answers(&connections[i]);
    }
    double seconds = (double)(now_ns() - start) / 1e9;
    printf("\"seconds\": %.6f", seconds);
}

/* --- the batch -------------------------------------------------------------------------------------------- */

/* Requests that failed: each says so by the key error_name. */
static long failed_in(const struct message *m) {
    static const char KEY[] = "error_name";  /* with the 0 that ends it on the wire */
    const unsigned char *at = m->body, *end = m->body + m->body_size;
    long found = 0;
    while ((at = memmem(at, (size_t)(end - at), KEY, sizeof KEY))) { at += sizeof KEY; found++; }
    return found;
}

static void take_batch(const struct message *m) {
    failures = m->type == METHOD_RETURN ? failed_in(m) : wish.calls;
    if (m->type == METHOD_ERROR) note(first_error, sizeof first_error, m->error_name, first_string(m));
    else if (failures) note(first_error, sizeof first_error, "", "requests of the batch failed");
    answered = wish.calls;
}

static void run_batch(void) {
    struct reader *r = &connections[0];
    struct message m;
    connect_to_bus(r, wish.address);
    struct pollfd polled = {r->fd, POLLIN, 0};
    uint64_t start = now_ns();
    send_all(r->fd, request.data, request.size);
    while (!answered) {
        long left = milliseconds_left();
        if (!left) { give_up(); break; }
        if (poll(&polled, 1, (int)left) < 0 && errno != EINTR) die("poll");
        if (polled.revents && !receive(r)) { errno = ECONNRESET; die("the bus"); }
        while (next_message(r, &m)) if (m.reply_serial == FIRST_SERIAL) take_batch(&m);
    }
    uint64_t took = now_ns() - start;
    for (long i = 0; i < answered - failures; i++) latency_ns[i] = took;  /* they all come together */
    printf("\"seconds\": %.6f", (double)took / 1e9);
}

/* --- waiting for the service ------------------------------------------------------------------------------ */

static void add_match(struct reader *r) {
    char rule[512];
    struct writer body = {0};
    snprintf(rule, sizeof rule, "type='signal',sender='" BUS "',member='NameOwnerChanged',arg0='%s'", wish.name);
    put_string(&body, rule);
    call_bus(r, 2, "AddMatch", "s", &body);
    free(body.data);
}

static bool has_owner(struct reader *r) {
    struct writer body = {0};
    put_string(&body, wish.name);
    struct message m = call_bus(r, 3, "NameHasOwner", "s", &body);
    free(body.data);
    return m.type == METHOD_RETURN && m.body_size == 4 && u32_at(m.body);
}

static uint64_t wait_for_name(struct reader *r) {
    struct message m;
    connect_to_bus(r, wish.address);
    add_match(r);
    if (has_owner(r)) return now_ns();
    for (struct pollfd polled = {r->fd, POLLIN, 0};;) {
        while (next_message(r, &m)) if (!strcmp(m.member, "NameOwnerChanged")) return now_ns();
        long left = milliseconds_left();
        if (!left) { fprintf(stderr, "nobody owns %s after %.0f s\n", wish.name, wish.timeout_s); exit(1); }
        if (poll(&polled, 1, (int)left) < 0 && errno != EINTR) die("poll");
        if (polled.revents && !receive(r)) { errno = ECONNRESET; die("the bus"); }
    }
}

static void start(bool also_ask) {
    struct reader *r = &connections[0];
    printf("\"name_ns\": %lu", wait_for_name(r));
    if (!also_ask) return;
    wish.calls = 1;
    ask(r);
    for (struct pollfd polled = {r->fd, POLLIN, 0}; !answered;) {
        long left = milliseconds_left();
        if (!left) { give_up(); break; }
        if (poll(&polled, 1, (int)left) > 0) read_answers(r);
    }
    printf(", \"answer_ns\": %lu", now_ns());
}

/* --- in and out ------------------------------------------------------------------------------------------- */

static void print_rest(void) {
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    printf(", \"calls\": %ld, \"failures\": %ld, \"cpu_s\": %.6f", wish.calls, failures, (double)cpu.tv_sec + (double)cpu.tv_nsec / 1e9);
    print_text("error", first_error);
    print_text("content", first_content);
    print_numbers("latency_ns", latency_ns, answered - failures);
    printf("}\n");
}

/* A command line holds no more than 128 KiB of one. */
static const char *text_of(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) die(path);
    long size = ftell(file);
    char *text = size < 0 ? NULL : calloc(1, (size_t)size + 1);
    rewind(file);
    if (!text || fread(text, 1, (size_t)size, file) != (size_t)size) die(path);
    fclose(file);
    return text;
}

static bool read_option(const char *key, const char *value) {
    if (!strcmp(key, "--address")) wish.address = value;
    else if (!strcmp(key, "--name")) wish.name = value;
    else if (!strcmp(key, "--task")) wish.task = value;
    else if (!strcmp(key, "--prompt")) wish.prompt = value;
    else if (!strcmp(key, "--prompt-file")) wish.prompt = text_of(value);
    else if (!strcmp(key, "--in-flight")) wish.in_flight = atol(value);
    else if (!strcmp(key, "--calls")) wish.calls = atol(value);
    else if (!strcmp(key, "--per-connection")) wish.per_connection = atol(value);
    else if (!strcmp(key, "--uid")) wish.uid = atol(value);
    else if (!strcmp(key, "--timeout")) wish.timeout_s = atof(value);
    else return false;
    return true;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    bool batch = !strcmp(what, "batch"), running = batch || !strcmp(what, "run");
    bool known = argc % 2 == 0 && (running || !strcmp(what, "start") || !strcmp(what, "wait"));
    for (int i = 2; known && i + 1 < argc; i += 2) known = read_option(argv[i], argv[i + 1]);
    if (!known || wish.calls < 1 || wish.in_flight < 1 || wish.per_connection < 1) {
        fprintf(stderr, "usage: caller run|batch|start|wait [--option value]...; see the head of caller.c\n");
        return 2;
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    become(wish.uid);
    if (!(asked_ns = calloc((size_t)wish.calls, 8)) || !(latency_ns = calloc((size_t)wish.calls, 8))) die("calloc");
    deadline_ns = now_ns() + (uint64_t)(wish.timeout_s * 1e9);
    if (batch) marshal_batch();
    else marshal_request();
    printf("{");
    if (batch) run_batch();
    else if (running) run();
    else start(*what == 's');
    print_rest();
    return 0;
}
