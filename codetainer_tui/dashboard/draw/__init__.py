"""Views as lines of styled text for a given width: pure, so that every size is tested without a terminal."""
