"""The window: GTK 4 and libadwaita 1.2 or later, on the same live model as the panel's item.

Import Gtk and Adw from `toolkit`, which asks for their versions first. A page is a class in a file of its own in
`pages/`, with a row in `pages.PAGES`; `pages.page.Page` says what it has. Texts go through `texts._`, also those that
only a screen reader says (`toolkit.say`).
"""
