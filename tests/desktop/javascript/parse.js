// Reads modules as GNOME Shell would and prints for each how it went, SyntaxError where it is none. What only a shell has
// is missing here.

import System from 'system';

for (const path of System.programArgs) {
    const how = await import(`file://${path}`).then(() => 'read', error => error.name);
    print(`${how}\t${path}`);
}
