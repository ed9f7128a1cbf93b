/* The floor of any service on the bus: answers each method call with a fixed text and an empty dictionary.
 *
 *   echo [--address ADDRESS] [--name NAME]
 *
 * What a caller measures against it is the bus itself: two hops through dbus-daemon and the marshalling.
 */
#include <sys/prctl.h>
#include <signal.h>

#include "dbus_wire.h"

static void own(struct reader *r, const char *name) {
    struct writer body = {0};
    put_string(&body, name);
    put_u32(&body, 4);  /* do not queue */
    struct message m = call_bus(r, 2, "RequestName", "su", &body);
    if (m.type != METHOD_RETURN || u32_at(m.body) != 1) {
        fprintf(stderr, "cannot own %s: %s %s\n", name, m.error_name, first_string(&m));
        exit(1);
    }
}

static void answer(struct reader *r, const struct message *m, const struct writer *body, uint32_t serial) {
    static struct writer w;
    struct envelope e = {METHOD_RETURN, NO_REPLY_EXPECTED, serial, m->serial, NULL, NULL, NULL, m->sender, "sa{sv}"};
    put_message(&w, &e, body);
    send_all(r->fd, w.data, w.size);
}

int main(int argc, char **argv) {
    const char *address = NULL, *name = "org.cortexlinux.LLMRouter";
    for (int i = 1; i + 1 < argc; i += 2) {
        if (!strcmp(argv[i], "--address")) address = argv[i + 1];
        else if (!strcmp(argv[i], "--name")) name = argv[i + 1];
        else { fprintf(stderr, "usage: echo [--address ADDRESS] [--name NAME]\n"); return 2; }
    }
    prctl(PR_SET_PDEATHSIG, SIGTERM);
    struct reader r = {0};
    connect_to_bus(&r, address);
    own(&r, name);
    struct writer body = {0};
    size_t length_at;
    put_string(&body, "The echo answers this with one short and friendly sentence.");
    size_t start = begin_array(&body, 8, &length_at);
    end_array(&body, start, length_at);
    uint32_t serial = 3;
    do {  /* a call may have come along with the name */
        struct message m;
        while (next_message(&r, &m)) if (m.type == METHOD_CALL) answer(&r, &m, &body, serial++);
    } while (receive(&r));
    return 0;
}
