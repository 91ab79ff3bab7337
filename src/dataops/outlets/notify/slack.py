"""A story as a Slack message: Block Kit within Slack's limits, every text escaped, checked by Slack's own models.

A message has at most 50 blocks, a section 3,000 characters, a header 150, ten fields, a table 100 rows; all texts
together about 13,200 (not documented: slackapi/bolt-js issue 2509). Ours stay below: what is too long is cut and says
where the rest is. `plain`: without the table block, which not every workspace knows yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from dataops.outlets.notify.story import Button, Fact, Link, Para, Story, Table, clean

Payload = dict[str, Any]
HEADER, SECTION, FIELD, CONTEXT, CELL, BUTTONS = 150, 2_900, 1_900, 2_900, 200, 5
FIELDS, ROWS, COLUMNS = 10, 20, 20
BUDGET = 10_000  # characters of all texts
PARAS = 10  # of a message that is too long
ELLIPSIS = "…"
TOO_LONG = "This is too long for a message; open the page."


def message(story: Story, people: Mapping[str, str], *, plain: bool = False, interactive: bool = False) -> Payload:
    """`text` and `blocks` of a message; people who are mentioned are in the map from mail address to Slack id.

    `interactive`: with buttons that do something, where somebody listens.
    """
    blocks: list[Payload] = []
    for smaller in _ever_smaller(clean(story)):
        blocks = _blocks(smaller, people, plain=plain, interactive=interactive)
        if _length(blocks) <= BUDGET:
            break
    return {"text": escaped(cut(clean(story).sentence, SECTION)), "blocks": blocks}


def _ever_smaller(story: Story) -> Iterator[Story]:
    """Itself, then with half the rows, and half of them, then with the beginnings of its paragraphs and facts."""
    yield story
    table = story.table
    while table:
        fewer = table.rows[: len(table.rows) // 2]
        more = table.more + len(table.rows) - len(fewer)
        table = Table(table.columns, fewer, more) if fewer else None
        yield replace(story, table=table, notes=story.notes if table else (*story.notes, TOO_LONG))
    for at_most in (1_000, 300):
        yield replace(
            story,
            table=None,
            paras=tuple(Para(cut(para.text, at_most), cut(para.lead, 150)) for para in story.paras[:PARAS]),
            facts=tuple(
                f if isinstance(f.value, datetime) else replace(f, value=cut(f.value, 150)) for f in story.facts
            ),
            notes=(TOO_LONG, *(cut(note, 300) for note in story.notes[:3])),
        )


def _blocks(story: Story, people: Mapping[str, str], *, plain: bool, interactive: bool) -> list[Payload]:
    """Slack's own models check each block's limits as it is written out."""
    from slack_sdk.models import blocks as kit

    found: list[kit.Block] = [kit.HeaderBlock(text=kit.PlainTextObject(text=cut(story.title, HEADER), emoji=False))]
    found += [_section(kit, _para(para)) for para in story.paras]
    if story.facts:
        texts = [kit.MarkdownTextObject(text=_fact(fact, story, people)) for fact in story.facts[:FIELDS]]
        found.append(kit.SectionBlock(fields=texts))
    if story.table:
        found.append(_as_code(kit, story.table) if plain else _table(kit, story.table))
    elements = [_button(kit, link, n) for n, link in enumerate(story.links[:BUTTONS])]
    elements += [_action(kit, button) for button in story.buttons if interactive]
    if elements:
        found.append(kit.ActionsBlock(elements=elements))
    if notes := list(_notes(story)):
        text = kit.MarkdownTextObject(text=_cut_markup("\n".join(notes), CONTEXT))
        found.append(kit.ContextBlock(elements=[text]))
    return [block.to_dict() for block in found]


def _notes(story: Story) -> Iterator[str]:
    if story.table and (more := story.table.more + max(0, len(story.table.rows) - ROWS)):
        yield f"… and {more:,} more rows"
    if story.run:
        yield _command(story.run)
    yield from map(escaped, story.notes)


def reply(story: Story, people: Mapping[str, str]) -> str:
    """What is said in the thread."""
    story = clean(story)
    who = people.get(story.mention or "") if story.reply_mentions else None
    return _cut_markup(f"{_mention(who)} {escaped(story.reply or '')}" if who else escaped(story.reply or ""), SECTION)


def _mention(who: str) -> str:
    return f"<!subteam^{who}>" if who.startswith("S") else f"<@{who}>"


def cut(text: str, at_most: int) -> str:
    """The text, or its beginning with an ellipsis."""
    return text if len(text) <= at_most else text[: at_most - 1] + ELLIPSIS


def escaped(text: str) -> str:
    """Text that forms no link, no mention and no command: Slack asks for these three to be written as entities."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _cut_markup(text: str, at_most: int) -> str:
    """Cuts escaped text, never inside an entity or a `<…>`."""
    if len(text) <= at_most:
        return text
    kept = text[: at_most - 1]
    for opens, closes in (("&", ";"), ("<", ">")):
        if kept.rfind(opens) > kept.rfind(closes):
            kept = kept[: kept.rfind(opens)]
    return kept + ELLIPSIS


def _bold(text: str) -> str:
    """Emphasised; a star inside would end it, so it is replaced by a look-alike."""
    return f"*{escaped(text).replace('*', '∗')}*" if text else ""  # noqa: RUF001  meant


def _para(para: Para) -> str:
    return f"{_bold(para.lead)} {escaped(para.text)}".strip()


def _section(kit: Any, text: str) -> Any:  # noqa: ANN401  slack_sdk's models, loaded late
    return kit.SectionBlock(text=kit.MarkdownTextObject(text=_cut_markup(text, SECTION), verbatim=True))


def _fact(fact: Fact, story: Story, people: Mapping[str, str]) -> str:
    return _cut_markup(f"{_bold(fact.label)}\n{_value(fact, story, people)}", FIELD)


def _value(fact: Fact, story: Story, people: Mapping[str, str]) -> str:
    if isinstance(fact.value, datetime):
        return moment(fact.value)
    if fact.is_person and fact.value == story.mention and (who := people.get(fact.value)):
        return _mention(who)
    return escaped(fact.value)


def moment(value: datetime) -> str:
    """A time that every reader sees in their own zone."""
    from datetime import UTC

    seconds = int(value.replace(tzinfo=UTC).timestamp())
    return f"<!date^{seconds}^{{date_short_pretty}} {{time}}|{value:%Y-%m-%d %H:%M} UTC>"


def _command(run: str) -> str:
    return "`" + escaped(run).replace("`", "'") + "`"


def _button(kit: Any, link: Link, number: int) -> Any:  # noqa: ANN401
    text = kit.PlainTextObject(text=cut(link.label, 75), emoji=False)
    return kit.ButtonElement(text=text, url=link.url, action_id=f"open_{number}")


def _action(kit: Any, button: Button) -> Any:  # noqa: ANN401
    text = kit.PlainTextObject(text=cut(button.label, 75), emoji=False)
    return kit.ButtonElement(text=text, action_id=button.action, value=button.value)


def _table(kit: Any, table: Table) -> Any:  # noqa: ANN401
    columns = table.columns[:COLUMNS]
    rows = [columns, *(row[:COLUMNS] for row in table.rows[:ROWS])]
    cells = [[{"type": "raw_text", "text": cut(cell, CELL) or "–"} for cell in row] for row in rows]  # noqa: RUF001
    return kit.TableBlock(rows=cells)


def _as_code(kit: Any, table: Table) -> Any:  # noqa: ANN401
    from dataops.outlets.notify.story import lines

    text = escaped("\n".join(lines(table))).replace("```", "'''")
    return _section(kit, f"```{_cut_markup(text, SECTION - 6)}```")


def _length(blocks: list[Payload]) -> int:
    """Characters of every text in the blocks."""
    total, queue = 0, list[Any](blocks)
    while queue:
        part = queue.pop()
        if isinstance(part, dict):
            total += len(part["text"]) if isinstance(part.get("text"), str) else 0
            queue += part.values()
        elif isinstance(part, list):
            queue += part
    return total
