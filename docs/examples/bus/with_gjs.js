// gjs -m with_gjs.js "What is a cgroup?": an answer, a stream and the cost of both, as a desktop applet does it:
// nothing here blocks the main loop.
import gi from 'gi';
import Gio from 'gi://Gio';
import GLib from 'gi://GLib';

const NAME = 'org.cortexlinux.LLMRouter';
const PATH = '/org/cortexlinux/LLMRouter';
const TIMEOUT_MS = 600_000;

Gio._promisify(Gio.DBusConnection.prototype, 'call', 'call_finish');
Gio._promisify(Gio.DBusConnection.prototype, 'call_with_unix_fd_list', 'call_with_unix_fd_list_finish');
Gio._promisify(Gio.DataInputStream.prototype, 'read_line_async', 'read_line_finish_utf8');

function unixInputStream() { // GLib 2.80 has moved it and warns of its old place; Debian 12 is older
    try {
        return gi.require('GioUnix').InputStream;
    } catch {
        return Gio.UnixInputStream;
    }
}

const prompt = ARGV[0] ?? 'What is a cgroup?';
const text = value => new GLib.Variant('s', value);
const messages = [{role: text('user'), content: text(prompt)}];
const bus = Gio.DBus.system;

async function complete() {
    const options = {max_tokens: new GLib.Variant('i', 200)};
    const reply = await bus.call(
        NAME, PATH, NAME, 'CompleteWithOptions',
        new GLib.Variant('(saa{sv}a{sv})', ['user_chat', messages, options]),
        new GLib.VariantType('(sa{sv})'), Gio.DBusCallFlags.NONE, TIMEOUT_MS, null);
    const [content, metadata] = reply.recursiveUnpack();
    print(`${content}\n${metadata.provider}`);
}

async function stream() {
    const [reply, descriptors] = await bus.call_with_unix_fd_list(
        NAME, PATH, NAME, 'OpenStream',
        new GLib.Variant('(saa{sv}a{sv})', ['user_chat', messages, {}]),
        new GLib.VariantType('(sh)'), Gio.DBusCallFlags.NONE, TIMEOUT_MS, null, null);
    const [, index] = reply.recursiveUnpack();
    const pipe = new (unixInputStream())({fd: descriptors.get(index), close_fd: true});
    const lines = new Gio.DataInputStream({base_stream: pipe});
    for (;;) {
        const [line] = await lines.read_line_async(GLib.PRIORITY_DEFAULT, null);
        if (line === null)
            throw new Error('the stream broke off: the service has gone');
        const event = JSON.parse(line);
        if (event.type === 'text')
            print(event.text);
        else if (event.type === 'fallback')
            print(`${event.provider} starts the answer again`);
        else if (event.type === 'error')
            throw new Error(`${event.name}: ${event.message}`);
        else if (event.type === 'done')
            return;
    }
}

// Your own costs, sent to this connection alone once it has subscribed.
async function watchCosts() {
    bus.signal_subscribe(
        NAME, NAME, 'CostIncurred', PATH, null, Gio.DBusSignalFlags.NONE,
        (_bus, _sender, _path, _interface, _signal, parameters) => {
            const [, task, provider, , usd, details] = parameters.recursiveUnpack();
            print(`cost: ${task} by ${provider} ${usd.toFixed(9)} USD, today ${details.day_usd.toFixed(9)} USD`);
        });
    await bus.call(
        NAME, PATH, `${NAME}.Usage`, 'Subscribe', new GLib.Variant('(a{sv})', [{}]),
        new GLib.VariantType('(ua{sv})'), Gio.DBusCallFlags.NONE, TIMEOUT_MS, null);
}

const loop = new GLib.MainLoop(null, false);
let failed = null;
(async () => {
    await watchCosts();
    await complete();
    await stream();
})().catch(error => {
    failed = error;
}).finally(() => loop.quit());
loop.run();
if (failed) {
    printerr(failed.message);
    imports.system.exit(1);
}
