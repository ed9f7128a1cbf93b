// node ask.js "What is a cgroup?": an answer and a stream.
import fs from 'node:fs';
import readline from 'node:readline';
import dbus from 'dbus-next';

const NAME = 'org.cortexlinux.LLMRouter';
const PATH = '/org/cortexlinux/LLMRouter';

const prompt = process.argv[2] ?? 'What is a cgroup?';
const bus = dbus.systemBus({negotiateUnixFd: true});
const text = value => new dbus.Variant('s', value);
const messages = [{role: text('user'), content: text(prompt)}];

// The reply's body. dbus-next waits for as long as the service takes, and an error of the service is thrown.
async function call(member, signature, ...body) {
    const reply = await bus.call(new dbus.Message({
        destination: NAME, path: PATH, interface: NAME, member, signature, body,
    }));
    return reply.body;
}

async function main() {
    const options = {max_tokens: new dbus.Variant('i', 200)};
    const [content, metadata] = await call('CompleteWithOptions', 'saa{sv}a{sv}', 'user_chat', messages, options);
    console.log(content);
    console.log(`${(Number(metadata.cost_nano_usd.value) / 1e9).toFixed(9)} USD`); // int64 is a BigInt

    const [, descriptor] = await call('OpenStream', 'saa{sv}a{sv}', 'user_chat', messages, {});
    const lines = readline.createInterface({input: fs.createReadStream(null, {fd: descriptor})});
    for await (const line of lines) { // closing the descriptor early cancels the request
        const event = JSON.parse(line);
        if (event.type === 'error')
            throw new Error(`${event.name}: ${event.message}`);
        process.stdout.write(event.text ?? '');
    }
    console.log();
}

main().catch(error => {
    console.error(`${error.type ?? error.name}: ${error.text ?? error.message}`);
    process.exitCode = 1;
}).finally(() => bus.disconnect());
