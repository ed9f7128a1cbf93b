/* cc -o stream stream.c $(pkg-config --cflags --libs libsystemd) */
#include <stdint.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define NAME "org.cortexlinux.LLMRouter"
#define PATH "/org/cortexlinux/LLMRouter"
#define TIMEOUT_US (600 * UINT64_C(1000000))

/* Events as they come, one JSON object per line. A program of its own gives each line to its JSON parser. */
static int show(FILE *stream) {
    char *line = NULL;
    size_t size = 0;
    int done = 0;

    while (getline(&line, &size, stream) >= 0) {
        fputs(line, stdout);
        fflush(stdout);
        done = strncmp(line, "{\"type\":\"done\"", 14) == 0;
    }
    free(line);
    return done ? 0 : 1; /* the end without "done": failed, or the daemon has gone */
}

int main(int argc, char **argv) {
    const char *prompt = argc > 1 ? argv[1] : "What is a cgroup?", *request_id;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message *call = NULL, *reply = NULL;
    sd_bus *bus = NULL;
    FILE *stream = NULL;
    int r, pipe_of_reply, status = 1;

    if ((r = sd_bus_open_system(&bus)) < 0 ||
        (r = sd_bus_message_new_method_call(bus, &call, NAME, PATH, NAME, "OpenStream")) < 0 ||
        (r = sd_bus_message_append(call, "saa{sv}a{sv}", "user_chat",
                                   1, 2, "role", "s", "user", "content", "s", prompt,
                                   0)) < 0 ||
        (r = sd_bus_call(bus, call, TIMEOUT_US, &error, &reply)) < 0 ||
        (r = sd_bus_message_read(reply, "sh", &request_id, &pipe_of_reply)) < 0) {
        fprintf(stderr, "%s: %s\n", error.name ? error.name : "bus", error.message ? error.message : strerror(-r));
    } else if ((stream = fdopen(fcntl(pipe_of_reply, F_DUPFD_CLOEXEC, 3), "r"))) { /* the reply owns its descriptor */
        sd_bus_message_unref(reply);
        reply = NULL;
        status = show(stream);
        fclose(stream); /* before the end: cancels the request */
    }

    sd_bus_error_free(&error);
    sd_bus_message_unref(reply);
    sd_bus_message_unref(call);
    sd_bus_flush_close_unref(bus);
    return status;
}
