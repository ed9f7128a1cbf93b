// What Plasma's D-Bus hands to QML, as plain JavaScript. Numbers and texts come wrapped in values of its own, which say as a
// text what they hold; lists and dictionaries are objects of Qt's, another kind in each release.

export function plain(value) {
    if (value === null || typeof value !== 'object')
        return value;
    if (value instanceof Array)
        return Array.from(value, plain);
    if ('value' in value && !String(value).startsWith('[object '))
        return plain(value.value);
    const made = {};
    for (const key of Object.keys(value))
        made[key] = plain(value[key]);
    return made;
}
