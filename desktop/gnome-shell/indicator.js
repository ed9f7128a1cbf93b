// The item in GNOME's panel: icon, today's sum, and the menu. The shell's own modules are handed in, as 43 and 44 have them
// elsewhere than 45 and later.

import Clutter from 'gi://Clutter';
import Gio from 'gi://Gio';
import St from 'gi://St';
import Gettext from 'gettext';

import {clock, systemBus} from './gio.js';
import {slotOf} from './logic/menu.mjs';
import {Spending} from './logic/spending.mjs';

const DOMAIN = 'cortex-llm-applet';
const ROLE = 'cortex-llm';

export class Indicator {
    // `shell` has Main, PanelMenu and PopupMenu; `directory` is the extension's, a Gio.File.
    constructor(shell, directory) {
        this._shell = shell;
        this._icons = directory.get_child('icons');
        this._state = '';
        this._items = new Map();
        this._button = new shell.PanelMenu.Button(0.5, ROLE, false);
        this._icon = new St.Icon({style_class: 'system-status-icon'});
        this._label = new St.Label({y_align: Clutter.ActorAlign.CENTER, style: 'margin-left: 4px; margin-right: 4px;'});
        this._button.add_child(this._inBox(this._icon, this._label));
        this._bus = systemBus();
        this._spending = new Spending(this._bus, clock, picture => this._draw(picture), translator(directory));
        this._button.menu.connect('open-state-changed', (_, open) => this._spending.menu(open));
        shell.Main.panel.addToStatusArea(ROLE, this._button);
    }

    destroy() {
        this._spending.close();
        if (this._bus)
            this._bus.close();
        this._button.destroy();
    }

    _inBox(...children) {
        const box = new St.BoxLayout({style_class: 'panel-status-menu-box'});
        children.forEach(child => box.add_child(child));
        return box;
    }

    _draw(picture) {
        this._drawIcon(picture.state);
        this._label.text = picture.label;
        this._button.accessible_name = `${picture.title}, ${picture.icon_words}`;
        for (const entry of picture.menu)
            this._drawEntry(entry);
    }

    _drawIcon(state) {
        if (state === this._state)
            return;
        this._state = state;
        this._icon.gicon = new Gio.FileIcon({file: this._icons.get_child(`cortex-llm-${state}.svg`)});
    }

    _drawEntry(entry) {
        if (!this._items.has(entry.id))
            this._items.set(entry.id, this._added(entry));
        const item = this._items.get(entry.id);
        item.visible = entry.visible;
        if (entry.separator)
            return;
        item.label.text = entry.label;
        item.setSensitive(entry.enabled);
    }

    _added({id, separator}) {
        const {PopupMenuItem, PopupSeparatorMenuItem} = this._shell.PopupMenu;
        const item = separator ? new PopupSeparatorMenuItem() : new PopupMenuItem('', {activate: slotOf(id) !== null});
        if (!separator) {
            item.label.clutter_text.line_wrap = true;
            item.label.style = 'max-width: 26em;';
            item.connect('activate', () => this._spending.clicked(id));
        }
        this._button.menu.addMenuItem(item);
        return item;
    }
}

// Texts in the person's language, by the catalogues in the extension or else the distribution's.
function translator(directory) {
    const own = directory.get_child('locale');
    if (own.query_exists(null))
        Gettext.bindtextdomain(DOMAIN, own.get_path());
    return text => Gettext.dgettext(DOMAIN, text);
}
