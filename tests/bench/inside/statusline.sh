#!/bin/bash
# The yardstick of `statusline`: shows model, context bar and session name with shell and jq.
input=$(cat)
field() { printf %s "$input" | jq -r "$1"; }
model=$(field '.model.display_name // "?"')
percent=$(field '.context_window.used_percentage // 0')
session=$(field '.session_id // ""')
name=$(cat "$1/names/$session" 2>/dev/null)
percent=${percent%.*}
colour=32
[ "$percent" -le 65 ] || colour=33
[ "$percent" -le 85 ] || colour=31
bar=
for cell in 1 2 3 4 5 6 7 8 9 10; do
  if [ "$((cell * 10))" -le "$percent" ]; then bar="$bar█"; else bar="$bar░"; fi
done
refused=$(tail -c 65536 "$2" | grep '"kind":"refused"' | jq -s 'map(.count) | add // 0')
printf '%s · \033[%sm%s %s %%\033[0m · %s · %s refused\n' "$model" "$colour" "$bar" "$percent" "$name" "$refused"
