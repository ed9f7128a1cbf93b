// For GNOME Shell 43 and 44, which load no modules themselves: installed as extension.js, it brings the rest when it is
// enabled.
/* exported init */

const {main: Main, panelMenu: PanelMenu, popupMenu: PopupMenu} = imports.ui;
const {dir: directory} = imports.misc.extensionUtils.getCurrentExtension();

class CortexLlmExtension {
    enable() {
        const enabled = this._enabled = {};
        import(directory.get_child('indicator.js').get_uri()).then(({Indicator}) => {
            if (this._enabled === enabled) // and not disabled meanwhile
                enabled.indicator = new Indicator({Main, PanelMenu, PopupMenu}, directory);
        }).catch(logError);
    }

    disable() {
        if (this._enabled.indicator)
            this._enabled.indicator.destroy();
        this._enabled = null;
    }
}

function init() {
    return new CortexLlmExtension();
}
