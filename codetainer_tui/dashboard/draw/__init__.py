"""Views as lines of styled text for a given width. Pure, so tests of every size need no terminal."""
