"""The HTTP reference as Markdown, from the OpenAPI document: every route with its parameters, answers and problems."""

import json
from typing import Any

HEAD = """# HTTP reference

Generated from the service's OpenAPI 3.1 document, which it gives itself at `/openapi.json`; `/docs` shows it where one
can try it, without a network. Errors are problem documents (RFC 9457): `type` names the kind and is stable, `detail` is
the fact. Times are microseconds since the epoch, UTC.
"""


def page(document: dict[str, Any]) -> str:
    """The whole page."""
    parts = [HEAD]
    for tag in document["tags"]:
        parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}\n")
        for path, methods in document["paths"].items():
            for method, facts in methods.items():
                if tag["name"] in facts["tags"]:
                    parts.append(operation(document, path, method, facts))
    parts.append("## Headers of answers\n\n| header | meaning |\n| --- | --- |\n")
    given = document["components"]["headers"].items()
    parts[-1] += "\n".join(f"| `{name}` | {cell(header['description'])} |" for name, header in given) + "\n"
    parts.append("## Problems\n\n| status | kind | such as |\n| --- | --- | --- |\n")
    parts[-1] += "\n".join(problem_rows(document)) + "\n"
    return "\n".join(parts)


def operation(document: dict[str, Any], path: str, method: str, facts: dict[str, Any]) -> str:
    """One route."""
    lines = [f"### {method.upper()} {path} {{ #{facts['operationId']} }}", "", facts["description"], ""]
    if facts.get("parameters"):
        lines += ["| parameter | meaning | values |", "| --- | --- | --- |"]
        lines += [
            f"| `{each['name']}`{' (required)' if each.get('required') else ''} "
            f"| {cell(each['description'])} | {cell(values(each['schema']))} |"
            for each in facts["parameters"]
        ]
        lines.append("")
    lines += [f"Answers: {', '.join(answers(document, facts))}.", ""]
    for name, example in examples(document, facts):
        lines += [f"```{name}", example, "```", ""]
    return "\n".join(lines)


def answers(document: dict[str, Any], facts: dict[str, Any]) -> list[str]:
    """Each status, with its media types or the name of its problem."""
    found = []
    for status, given in facts["responses"].items():
        response = resolved(document, given)
        media = [name.partition(";")[0] for name in response.get("content", {})]
        text = "problem" if media == ["application/problem+json"] else ", ".join(f"`{name}`" for name in media)
        found.append(f"**{status}**{f' ({text})' if text else ''}")
    return found


def examples(document: dict[str, Any], facts: dict[str, Any]) -> list[tuple[str, str]]:
    """The examples of an answer, with the language that they are shown in."""
    found = []
    for content in facts["responses"]["200"].get("content", {}).values():
        found += [("text", example["value"].strip()) for example in content.get("examples", {}).values()]
        schema = resolved(document, content["schema"])
        given = schema.get("examples", [schema["example"]] if "example" in schema else [])
        found += [("json", json.dumps(example, indent=2)) for example in given]
    return found[:1]


def values(schema: dict[str, Any]) -> str:
    """What a parameter takes, in a few words."""
    if "enum" in schema:
        words = schema["enum"]
        shown = [f"`{word}`" for word in (words if len(words) <= 8 else schema.get("examples", words[:4]))]
        found = ", ".join(shown) + (", ..." if len(words) > 8 else "")
    elif "examples" in schema:
        found = "such as " + ", ".join(f"`{one}`" for one in schema["examples"])
    elif "maximum" in schema:
        found = f"{schema.get('minimum', 0)} to {schema['maximum']:,}"
    else:
        found = str(schema.get("type", "text"))
    return found + (f"; default `{json.dumps(schema['default'])}`" if "default" in schema else "")


def problem_rows(document: dict[str, Any]) -> list[str]:
    """A row for each kind of problem."""
    rows = []
    for response in document["components"]["responses"].values():
        for content in response["content"].values():
            for kind, example in content["examples"].items():
                value = example["value"]
                rows.append(f"| {value['status']} | `{kind}` | {cell(value['detail'])} |")
    return sorted(rows)


def resolved(document: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    """What a `$ref` stands for."""
    while "$ref" in found:
        part: Any = document
        for name in found["$ref"].removeprefix("#/").split("/"):
            part = part[name]
        found = part
    return found


def cell(text: str) -> str:
    """Text that stands in a table's cell."""
    return text.replace("|", "\\|").replace("\n", " ")
