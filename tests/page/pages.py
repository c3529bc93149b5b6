"""Options of pages on tiny weights, and a parser of pages."""

from html.parser import HTMLParser
from pathlib import Path

from corpus import rewrite_store
from weights import save_hybrids

from data.store import RollStore
from page.options import ReportOptions

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """The elements of a page, its text, tables and scripts, and tags that do not balance.

    `tables`: caption and cells of each. `unfolded`: the elements outside <details>, which are shown at first.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.unfolded: list[tuple[str, dict[str, str]]] = []
        self.tables: list[tuple[str, list[str]]] = []
        self.scripts: list[str] = []
        self.text = ""
        self.unbalanced: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        self.unbalanced += self._open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attributes}))
        if "details" not in self._open:
            self.unfolded.append(self.elements[-1])
        if tag not in VOID:
            self._open.append(tag)
        if tag == "table":
            self.tables.append(("", []))
        if tag == "td":
            self.tables[-1][1].append("")

    def handle_endtag(self, tag: str) -> None:
        if self._open and self._open[-1] == tag:
            self._open.pop()
        else:
            self.unbalanced.append(f"/{tag} in {self._open[-3:]}")

    def handle_data(self, data: str) -> None:
        if self._open[-1:] == ["script"]:
            self.scripts.append(data)
        elif "style" not in self._open:
            self.text += data
        if "td" in self._open:
            self.tables[-1][1][-1] += data.strip()
        elif "caption" in self._open:
            self.tables[-1] = (self.tables[-1][0] + data, self.tables[-1][1])

    @property
    def cells(self) -> list[str]:
        return [cell for _, cells in self.tables for cell in cells]

    def all(self, tag: str, **wanted: str) -> list[dict[str, str]]:
        return [has for name, has in self.elements if name == tag and wanted.items() <= has.items()]

    def assert_sound(self) -> None:
        """Balanced, self-contained, without scripts, with alternative texts, and every link leads somewhere."""
        assert self.unbalanced == []
        assert not self.all("script") and not self.all("link")
        assert all(not name.startswith("on") for _, has in self.elements for name in has)
        sources = [has[name] for _, has in self.elements for name in ("src", "href") if name in has]
        assert sources and all(source.startswith(("data:", "#")) for source in sources)
        places = {has["id"] for _, has in self.elements if "id" in has}
        assert {link["href"][1:] for link in self.all("a")} <= places
        assert all(has["alt"] for has in self.all("img"))
        assert all(has.get("aria-label") for has in self.all("svg") + self.all("audio"))


def options_for(store: Path, folder: Path, genres: list[str] | None = None, **more: object) -> ReportOptions:
    """Options for a page on `folder` / "metrics", with random generators of T = 32 and 64 and CVAEs.

    With `genres`, for a copy of the store with other genre names.
    """
    if genres:
        store = rewrite_store(RollStore.open(store), folder / "store", genres=genres).folder
    save_hybrids(store, folder / "checkpoints", seq_lens=(32, 64))
    folders = {"checkpoints": (folder / "checkpoints",), "metrics": folder / "metrics", "runs": folder / "runs"}
    return ReportOptions(store=store, **{**folders, "real_clips": 1, "generated_clips": 2, **more})
