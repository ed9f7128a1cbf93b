/* cc -o complete complete.c $(pkg-config --cflags --libs libsystemd) */
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <systemd/sd-bus.h>

#define NAME "org.cortexlinux.LLMRouter"
#define PATH "/org/cortexlinux/LLMRouter"
#define TIMEOUT_US (600 * UINT64_C(1000000))

/* One number of a{sv}, at which the reply stands; 0 where it is not there. */
static int64_t number_of(sd_bus_message *reply, const char *wanted) {
    int64_t found = 0;
    const char *key;

    sd_bus_message_enter_container(reply, SD_BUS_TYPE_ARRAY, "{sv}");
    while (sd_bus_message_enter_container(reply, SD_BUS_TYPE_DICT_ENTRY, "sv") > 0) {
        sd_bus_message_read(reply, "s", &key);
        if (strcmp(key, wanted) == 0)
            sd_bus_message_read(reply, "v", "x", &found);
        else
            sd_bus_message_skip(reply, "v");
        sd_bus_message_exit_container(reply);
    }
    sd_bus_message_exit_container(reply);
    return found;
}

int main(int argc, char **argv) {
    const char *prompt = argc > 1 ? argv[1] : "What is a cgroup?", *content;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    sd_bus_message *call = NULL, *reply = NULL;
    sd_bus *bus = NULL;
    int r;

    if ((r = sd_bus_open_system(&bus)) < 0 ||
        (r = sd_bus_message_new_method_call(bus, &call, NAME, PATH, NAME, "CompleteWithOptions")) < 0 ||
        (r = sd_bus_message_set_allow_interactive_authorization(call, 1)) < 0 ||
        (r = sd_bus_message_append(call, "saa{sv}a{sv}", "user_chat",
                                   1, 2, "role", "s", "user", "content", "s", prompt,
                                   1, "max_tokens", "i", 200)) < 0 ||
        (r = sd_bus_call(bus, call, TIMEOUT_US, &error, &reply)) < 0 ||
        (r = sd_bus_message_read(reply, "s", &content)) < 0)
        fprintf(stderr, "%s: %s\n", error.name ? error.name : "bus", error.message ? error.message : strerror(-r));
    else
        printf("%s\n%.9f USD\n", content, (double)number_of(reply, "cost_nano_usd") / 1e9);

    sd_bus_error_free(&error);
    sd_bus_message_unref(reply);
    sd_bus_message_unref(call);
    sd_bus_flush_close_unref(bus);
    return r < 0;
}
