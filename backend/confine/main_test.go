package main

import "testing"

func TestTheFilterIsOnUnlessOneLineSwitchesItOff(t *testing.T) {
	for settings, off := range map[string]bool{
		"login=tmux\nseccomp=off\n": true,
		"seccomp=on\n":              false,
		"":                          false,
		"off\n":                     false,
		"xseccomp=off\n":            false,
		"seccomp=off \n":            false,
		"login=seccomp=off\n":       false,
	} {
		if switchedOff(settings) != off {
			t.Errorf("%q: the filter is off: %v, expected %v", settings, !off, off)
		}
	}
}
