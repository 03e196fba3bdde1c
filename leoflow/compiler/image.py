"""Builds the image of a project: its sources, its dependencies and the runtime, nothing of the control plane."""

import asyncio
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import leoflow.runtime
from leoflow.compiler.errors import CompileError
from leoflow.compiler.files import Tree
from leoflow.compiler.project import Project
from leoflow.errors import LeoflowError

BUILDERS = ("docker", "podman")
PROJECT_DIRECTORY = "/opt/leoflow/project"
RUNTIME_DIRECTORY = "/opt/leoflow/leoflow"


@dataclass(frozen=True, slots=True)
class Builder:
    """A program that builds and pushes images."""

    program: str
    path: str

    async def run(self, arguments: list[str], *, cwd: Path, reference: str, tell: Callable[[str], None]) -> None:
        """Run it, showing its output line by line.

        Raises:
            LeoflowError: it failed; the hint is its last line.
        """
        process = await asyncio.create_subprocess_exec(
            self.path,
            *arguments,
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        assert process.stdout is not None
        last = ""
        async for raw in process.stdout:
            line = raw.decode("utf-8", "replace").rstrip()
            last = line or last
            tell(line)
        if await process.wait():
            raise LeoflowError(f"{self.program} {arguments[0]} failed", where=reference, hint=last)


def find_builder(wanted: str | None) -> Builder:
    """Return the builder asked for, or the first one installed."""
    for program in (wanted,) if wanted else BUILDERS:
        if path := shutil.which(program):
            return Builder(program, path)
    missing = wanted or " nor ".join(BUILDERS)
    raise LeoflowError(
        f"cannot build an image: {'neither ' if not wanted else ''}{missing} is installed",
        hint="Install docker or podman, or leave out --build: dag.json needs no image to run on this machine.",
    )


async def image_reference(project: Project, *, image: str | None, dag_version: str | None, tree: Tree) -> str:
    """Return `--image`, or what `registry` in leoflow.yaml makes of the project."""
    registry = project.config.registry
    if image:
        return image
    if registry is None:
        raise CompileError(
            "an image needs a name",
            root=project.root,
            rule="image",
            hint="Give --image REF, or a registry in leoflow.yaml.",
        )
    tags = {"git_sha": ("rev-parse", "--short=12", "HEAD"), "git_tag": ("describe", "--tags", "--exact-match")}
    if registry.tag_strategy in tags:
        tag = await _git(project, *tags[registry.tag_strategy])
    elif registry.tag_strategy == "version" and dag_version:
        tag = dag_version
    else:
        tag = tree.hash()[:12]
    return f"{registry.url.rstrip('/')}/{registry.image_name or project.name}:{tag}"


async def _git(project: Project, *arguments: str) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            "git", *arguments, cwd=project.root, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
        )
        output, _ = await process.communicate()
    except FileNotFoundError:
        output = b""
    if tag := output.decode().strip():
        return tag
    raise CompileError(
        "git does not know the tag of the image",
        root=project.root,
        file="leoflow.yaml",
        line=project.document.line_of(("registry", "tag_strategy")),
        rule="image",
        hint="Commit (or tag) the project, or choose another registry.tag_strategy.",
    )


async def build(
    project: Project,
    tree: Tree,
    reference: str,
    builder: Builder,
    *,
    constraints: str,
    requirements: tuple[str, ...],
    tell: Callable[[str], None],
) -> None:
    """Build the image `reference` from a context made for it."""
    config = project.config.build
    options = [f"--platform={','.join(config.platforms)}", f"--tag={reference}"]
    options += [f"--label={name}={value}" for name, value in sorted(config.labels.items())]
    if config.dockerfile:
        context = project.root / config.context
        file = project.root / config.dockerfile
        if not file.is_file():
            raise CompileError(
                "the Dockerfile does not exist",
                root=project.root,
                file=config.dockerfile,
                rule="image",
                hint="Create it, or leave build.dockerfile out: one is generated.",
            )
        await builder.run(
            ["build", *options, f"--file={file}", str(context)], cwd=project.root, reference=reference, tell=tell
        )
        return
    with tempfile.TemporaryDirectory(prefix="leoflow-image-") as directory:
        context = Path(directory)
        write_context(project, tree, context, constraints=constraints, requirements=requirements)
        await builder.run(["build", *options, str(context)], cwd=context, reference=reference, tell=tell)


def write_context(
    project: Project, tree: Tree, context: Path, *, constraints: str, requirements: tuple[str, ...]
) -> None:
    """Fill a build context: Dockerfile, requirements, the project's files, the runtime."""
    (context / "Dockerfile").write_text(dockerfile(project))
    (context / "constraints.txt").write_text(constraints)
    (context / "requirements.txt").write_text("".join(f"{line}\n" for line in requirements))
    for file in tree.files:
        target = context / "project" / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(tree.root / file.path, target)
        target.chmod(0o755 if file.executable else 0o644)
    source = Path(leoflow.runtime.__file__).parent
    shutil.copytree(source, context / "runtime", ignore=shutil.ignore_patterns("__pycache__"))
    # Equal sources make equal layers, whenever they were written.
    for path in context.rglob("*"):
        os.utime(path, (0, 0))


def dockerfile(project: Project) -> str:
    """Return the generated Dockerfile."""
    config = project.config
    version = config.python_version or f"{sys.version_info.major}.{sys.version_info.minor}"
    lines = [f"FROM {config.base_image or f'python:{version}-slim-bookworm'}", "USER root"]
    if config.system_packages:
        packages = " ".join(shlex.quote(package) for package in sorted(set(config.system_packages)))
        lines.append(
            "RUN apt-get update && apt-get install --yes --no-install-recommends "
            f"{packages} && rm -rf /var/lib/apt/lists/*"
        )
    lines += [
        "COPY requirements.txt constraints.txt /opt/leoflow/",
        "RUN python -m pip install --no-cache-dir --constraint /opt/leoflow/constraints.txt "
        "--requirement /opt/leoflow/requirements.txt",
        f"COPY runtime {RUNTIME_DIRECTORY}/runtime",
        f"COPY project {PROJECT_DIRECTORY}",
        f"WORKDIR {PROJECT_DIRECTORY}",
        "ENV PYTHONUNBUFFERED=1",
        "USER 1000:1000",
        f'ENTRYPOINT ["python", "{RUNTIME_DIRECTORY}/runtime/bootstrap.py"]',
    ]
    return "\n".join(lines) + "\n"
