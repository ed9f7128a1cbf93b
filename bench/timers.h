/* Timers of connections: a heap by due time, and a timerfd that rings for the earliest. A connection has one timer that
 * counts, the one whose ticket it holds; older ones in the heap are void. */
#ifndef BENCH_TIMERS_H
#define BENCH_TIMERS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/timerfd.h>
#include <time.h>

#include "http.h"

struct timer { uint64_t due_ns, ticket; int fd; };

static struct timer *heap;
static size_t heap_size, heap_room;
static uint64_t last_ticket;

static inline uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline void heap_sift_down(size_t at) {
    for (;;) {
        size_t least = at, left = 2 * at + 1, right = left + 1;
        if (left < heap_size && heap[left].due_ns < heap[least].due_ns) least = left;
        if (right < heap_size && heap[right].due_ns < heap[least].due_ns) least = right;
        if (least == at) return;
        struct timer t = heap[at];
        heap[at] = heap[least];
        heap[least] = t;
        at = least;
    }
}

/* The ticket of a new timer. */
static inline uint64_t add_timer(int fd, uint64_t due_ns) {
    if (heap_size == heap_room && !(heap = realloc(heap, (heap_room = heap_room * 2 + 64) * sizeof *heap))) fail("realloc");
    size_t at = heap_size++;
    while (at && heap[(at - 1) / 2].due_ns > due_ns) {
        heap[at] = heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    heap[at] = (struct timer){due_ns, ++last_ticket, fd};
    return last_ticket;
}

/* Take the earliest timer that is due by `now`; false when there is none. */
static inline bool take_due(uint64_t now, struct timer *due) {
    if (!heap_size || heap[0].due_ns > now) return false;
    *due = heap[0];
    heap[0] = heap[--heap_size];
    heap_sift_down(0);
    return true;
}

static inline void arm_timer_fd(int timer_fd) {
    static uint64_t armed_for;
    uint64_t due = heap_size ? heap[0].due_ns : 0;
    if (due == armed_for) return;
    struct itimerspec spec = {.it_value = {(time_t)(due / 1000000000u), (long)(due % 1000000000u)}};
    if (timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) < 0) fail("timerfd_settime");
    armed_for = due;
}

#endif
