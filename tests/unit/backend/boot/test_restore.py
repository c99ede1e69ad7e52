"""What boot writes itself into the agent's home, so that nothing restored may stand in its place."""

from __future__ import annotations

from pathlib import Path

from backend.boot.steps import restore
from backend.contract.paths import Paths


def test_the_images_skills_get_room_with_all_they_contain(tmp_path: Path) -> None:
    """`cp` fails if a file is in the place of a folder, or the other way round, and boot would halt."""
    paths = Paths(tmp_path)
    skill = paths.claude_settings.parent / "skills/review/more"
    skill.mkdir(parents=True)
    (skill / "notes.md").touch()
    (skill.parent / "SKILL.md").touch()
    folders, files = restore.own(paths)
    skills = paths.home / ".claude/skills"
    assert folders[-3:] == [str(skills), str(skills / "review"), str(skills / "review/more")]
    assert {str(skills / "review/SKILL.md"), str(skills / "review/more/notes.md")} <= {*files}


def test_without_skills_nothing_is_moved_for_them(tmp_path: Path) -> None:
    folders, files = restore.own(Paths(tmp_path))
    assert not any("/.claude/skills" in name for name in (*folders, *files))
