// For GNOME Shell 45 and later.

import {Extension} from 'resource:///org/gnome/shell/extensions/extension.js';
import * as Main from 'resource:///org/gnome/shell/ui/main.js';
import * as PanelMenu from 'resource:///org/gnome/shell/ui/panelMenu.js';
import * as PopupMenu from 'resource:///org/gnome/shell/ui/popupMenu.js';

import {Indicator} from './indicator.js';

export default class CortexLlmExtension extends Extension {
    enable() {
        this._indicator = new Indicator({Main, PanelMenu, PopupMenu}, this.dir);
    }

    disable() {
        this._indicator.destroy();
        this._indicator = null;
    }
}
