/* What the benchmark's clients of org.cortexlinux.LLMRouter share: who they are, what they ask, how they report. */
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/prctl.h>

#include "dbus_wire.h"

#define ROUTER "org.cortexlinux.LLMRouter"
#define ROUTER_PATH "/org/cortexlinux/LLMRouter"

/* Become this user, with its groups, where one is given. */
static inline void become(long uid) {
    if (uid < 0) return;
    const struct passwd *user = getpwuid((uid_t)uid);
    if (!user) { errno = ENOENT; die("--uid"); }
    if (initgroups(user->pw_name, user->pw_gid) || setgid(user->pw_gid) || setuid(user->pw_uid)) die("--uid");
    prctl(PR_SET_PDEATHSIG, SIGTERM);  /* a change of user clears it */
}

static inline void put_entry(struct writer *w, const char *key, const char *text) {
    put_padding(w, 8);
    put_string(w, key);
    put_signature(w, "s");
    put_string(w, text);
}

static inline void put_turn(struct writer *w, const char *role, const char *text) {
    size_t at, start = begin_array(w, 8, &at);
    put_entry(w, "role", role);
    put_entry(w, "content", text);
    end_array(w, start, at);
}

/* "saa{sv}": a task type, the system's message where there is one, and one by the user. */
static inline void put_conversation(struct writer *w, const char *task, const char *system, const char *prompt) {
    size_t at;
    put_string(w, task);
    size_t start = begin_array(w, 4, &at);
    if (system) put_turn(w, "system", system);
    put_turn(w, "user", prompt);
    end_array(w, start, at);
}

/* "a{sv}": no options, or the one number that is given. */
static inline void put_options(struct writer *w, const char *key, long number) {
    size_t at, start = begin_array(w, 8, &at);
    if (key) {
        put_padding(w, 8);
        put_string(w, key);
        put_signature(w, "i");
        put_u32(w, (uint32_t)number);
    }
    end_array(w, start, at);
}

static inline void print_text(const char *key, const char *text) {
    printf(", \"%s\": \"", key);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\') printf("\\%c", *text);
        else if ((unsigned char)*text < ' ') printf("\\u%04x", *text);
        else putchar(*text);
    }
    putchar('"');
}

static inline void print_numbers(const char *key, const uint64_t *numbers, long count) {
    printf(", \"%s\": [", key);
    for (long i = 0; i < count; i++) printf(i ? ",%lu" : "%lu", numbers[i]);
    putchar(']');
}

/* Keep the first text of its kind. */
static inline void note(char *into, size_t size, const char *name, const char *text) {
    if (!*into) snprintf(into, size, *name ? "%s: %s" : "%s%s", name, text);
}

static inline long milliseconds_until(uint64_t deadline_ns) {
    uint64_t now = now_ns();
    return now >= deadline_ns ? 0 : (long)((deadline_ns - now) / 1000000u) + 1;
}

#endif
