"""The words that a shape may hold: programs, their subcommands, suffixes. A word that is not here is never shown."""

from collections.abc import Mapping
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# What a project calls its own tasks, for those who run them: `make test`, `npm run build`.
_TASKS: Final = (
    "all audit bench bootstrap build check ci clean compile coverage deploy dev dist docs fix fmt format generate"
    " install integration lint migrate package prepare preview publish release run serve setup start stop test tests"
    " typecheck uninstall unit update upgrade validate verify watch"
)
_NODE: Final = (
    f"{_TASKS} add audit ci config create dlx exec i info init link list login ls outdated pack prune rebuild remove"
    " root run-script search t uninstall unlink version view why"
)
_CONTAINERS: Final = (
    "attach build builder buildx commit compose container context cp create diff down events exec export history image"
    " images import info inspect kill load login logout logs manifest network node pause plugin port prune ps pull push"
    " rename restart rm rmi run save search secret service stack start stats stop swarm system tag top unpause up update"
    " version volume wait"
)
_PACKAGES: Final = (
    "add autoremove build clean config dist-upgrade download full-upgrade info install list makecache policy provides"
    " purge reinstall remove search show source uninstall update upgrade"
)
_PYTHON_PACKAGES: Final = (
    "add activate build cache check config create deactivate debug download env export freeze hash index info init"
    " inspect install list lock new publish python remove run search self shell show sync tool tree uninstall update"
    " upgrade venv version wheel"
)
_INFRASTRUCTURE: Final = (
    "apply create delete dependency destroy fmt get history import init install lint list output plan pull push refresh"
    " repo rollback search show state status taint template test uninstall upgrade validate version workspace"
)

SUBCOMMANDS: Final[Mapping[str, frozenset[str]]] = {
    "git": _words(
        "add am apply archive bisect blame branch bundle cat-file checkout cherry cherry-pick clean clone commit config"
        " describe diff difftool fetch format-patch fsck gc grep help init log ls-files ls-remote ls-tree merge"
        " merge-base mergetool mv notes pull push range-diff rebase reflog remote reset restore rev-list rev-parse"
        " revert rm shortlog show show-ref sparse-checkout stash status submodule switch tag worktree"
    ),
    "gh": _words("api auth browse gist issue label pr release repo run search secret workflow"),
    "hg": _words(
        "add annotate branch clone commit diff init log merge pull push revert status update"
    ),
    "svn": _words("add blame checkout commit diff info log merge revert status switch update"),
    "docker": _words(_CONTAINERS),
    "podman": _words(_CONTAINERS),
    "docker-compose": _words(_CONTAINERS),
    "kubectl": _words(
        "annotate api-resources apply attach auth autoscale cluster-info config cordon cp create debug delete describe"
        " diff drain edit events exec explain expose get label logs patch port-forward proxy replace rollout run scale"
        " set taint top uncordon version wait"
    ),
    "npm": _words(_NODE),
    "pnpm": _words(_NODE),
    "yarn": _words(_NODE),
    "bun": _words(_NODE),
    "deno": _words(f"{_TASKS} bundle cache eval info repl task"),
    "pip": _words(_PYTHON_PACKAGES),
    "pipx": _words(_PYTHON_PACKAGES),
    "uv": _words(_PYTHON_PACKAGES + " pip"),
    "poetry": _words(_PYTHON_PACKAGES),
    "pipenv": _words(_PYTHON_PACKAGES + " graph"),
    "conda": _words(_PYTHON_PACKAGES),
    "mamba": _words(_PYTHON_PACKAGES),
    "hatch": _words(f"{_TASKS} env new version"),
    "pdm": _words(_PYTHON_PACKAGES),
    "ruff": _words("check format rule server"),
    "biome": _words("check ci format lint"),
    "cargo": _words(
        f"{_TASKS} add clippy doc fetch info init miri new nextest remove search tree vendor"
    ),
    "rustup": _words("check component default install override show target toolchain update"),
    "go": _words(f"{_TASKS} doc env get list mod tool vet version work"),
    "dotnet": _words(f"{_TASKS} add list new nuget pack remove restore sln tool"),
    "mvn": _words(f"{_TASKS} site"),
    "gradle": _words(f"{_TASKS} assemble dependencies projects tasks"),
    "gradlew": _words(f"{_TASKS} assemble dependencies projects tasks"),
    "bazel": _words("build clean coverage fetch info query run sync test"),
    "make": _words(_TASKS),
    "just": _words(_TASKS),
    "task": _words(_TASKS),
    "ninja": _words(_TASKS),
    "rake": _words(f"{_TASKS} spec"),
    "composer": _words(f"{_TASKS} dump-autoload remove require show"),
    "gem": _words("build install list push search uninstall update"),
    "bundle": _words("add check exec install list outdated update"),
    "mix": _words(f"{_TASKS} deps"),
    "terraform": _words(_INFRASTRUCTURE),
    "tofu": _words(_INFRASTRUCTURE),
    "helm": _words(_INFRASTRUCTURE),
    "ansible": frozenset(),
    "aws": _words(
        "cloudformation configure dynamodb ec2 ecr ecs eks iam lambda logs rds s3 s3api sqs sts"
    ),
    "gcloud": _words(
        "app auth builds compute config container functions iam logging projects run storage"
    ),
    "az": _words("account acr aks group login storage vm webapp"),
    "systemctl": _words(
        "cat daemon-reload disable edit enable is-active is-enabled is-failed list-timers list-unit-files list-units"
        " mask reload restart show start status stop unmask"
    ),
    "apt": _words(_PACKAGES),
    "apt-get": _words(_PACKAGES),
    "dnf": _words(_PACKAGES),
    "yum": _words(_PACKAGES),
    "apk": _words("add del fix info list search update upgrade"),
    "brew": _words(_PACKAGES + " doctor link outdated services tap"),
    "snap": _words("find info install list refresh remove"),
    "nix": _words("build develop flake profile run search shell store"),
    "ollama": _words("create list ps pull push rm run serve show stop"),
    "hermes": _words(
        "chat config cron doctor gateway model plugins sessions setup skills status tools update version"
    ),
    "timmyd": _words(
        "check db demo explain import model policy predict replay report route run schema status version"
    ),
    "tmux": _words("attach capture-pane kill-session list-sessions new new-session send-keys"),
    "openssl": _words("dgst enc genrsa rand req s_client verify version x509"),
    "ip": _words("addr link neigh route"),
    "coverage": _words("combine erase html json report run xml"),
    "alembic": _words("current downgrade heads history revision stamp upgrade"),
    "flask": _words("db routes run shell"),
    "pre-commit": _words("autoupdate install run uninstall"),
}

PROGRAMS: Final = (
    _words(
        # the shell's own and the system's
        "alias awk base64 basename bash bc bzip2 cal cat chgrp chmod chown cksum clear cmp column comm cp crontab csplit"
        " curl cut date dd df diff dig dirname dmesg dpkg du echo egrep env eval exit expand expr factor false fc fdisk"
        " fgrep file find fish fold free fuser gawk getent gpg grep groups gunzip gzip hash head hexdump host hostname"
        " htop id ifconfig install iostat iptables jobs join journalctl jq kill killall last ldd less link ln locale"
        " locate logger ls lsblk lscpu lsmod lsof lspci lsusb make man md5sum mkdir mkfifo mknod mktemp more mount mtr mv"
        " nc netcat netstat nl nm nmap nproc nslookup objdump od openssl passwd paste patch pgrep ping pkill popd pr"
        " printenv printf ps pushd pwd read readlink realpath rename rg rm rmdir rpm rsync scp screen sed seq service sftp"
        " sh sha1sum sha256sum sha512sum shasum shred shuf sleep sort source split ss ssh ssh-add ssh-keygen stat strace"
        " strings stty su sum swapon sync sysctl tac tail tar tee telnet test time top touch tput tr traceroute tree true"
        " truncate tty type uname unexpand uniq unlink unset unxz unzip uptime useradd usermod vim vi nano emacs vmstat w"
        " wait wc wget whereis which who whoami whois xargs xxd xz yes yq zcat zip zsh zstd ag ack fd bat eza colordiff"
        # languages and their tools
        " black clang clang-format cmake ctest cpack cc c++ g++ gcc gdb valgrind ld ar cython erl elixir ghc stack cabal"
        " java javac jar kotlin kotlinc lua julia node nodemon ocaml perl php python ruby rustc scala swift swiftc tsc"
        " ts-node tsx vite webpack esbuild rollup eslint prettier biome jest vitest mocha playwright cypress karma ava"
        " pytest tox nox unittest mypy pyright flake8 pylint isort bandit pyflakes pycodestyle doctest jupyter ipython"
        " rspec rubocop phpunit golangci-lint gofmt gotestsum staticcheck rustfmt shellcheck shfmt hadolint yamllint"
        " markdownlint actionlint cppcheck ansible-playbook ansible-lint vagrant packer twine flit meson sphinx-build"
        " mkdocs gunicorn uvicorn celery streamlit http.server json.tool venv build pipdeptree"
        # data
        " sqlite3 psql pg_dump mysql mysqldump redis-cli mongo mongosh duckdb influx"
        # media
        " ffmpeg ffprobe convert magick pandoc pdftotext tesseract yt-dlp"
    )
    | SUBCOMMANDS.keys()
)

# Programs that run another one, with those of their options that take a value.
WRAPPERS: Final[Mapping[str, frozenset[str]]] = {
    "sudo": _words("-u -g -h -p -C -r -t -U -D -R -T --user --group --host --prompt --chdir"),
    "doas": _words("-u -C"),
    "env": _words("-u -C -S --unset --chdir"),
    "nice": _words("-n --adjustment"),
    "ionice": _words("-c -n -p"),
    "nohup": frozenset(),
    "setsid": frozenset(),
    "time": _words("-f -o"),
    "timeout": _words("-s -k --signal --kill-after"),
    "stdbuf": _words("-i -o -e"),
    "command": frozenset(),
    "exec": _words("-a"),
    "xvfb-run": _words("-n -s --server-args"),
    "npx": _words("-p --package"),
    "bunx": frozenset(),
    "uvx": _words("--from --with -p --python"),
    # words of the shell's grammar that a command follows
    "do": frozenset(),
    "then": frozenset(),
    "else": frozenset(),
    "if": frozenset(),
    "while": frozenset(),
    "until": frozenset(),
    "!": frozenset(),
    "{": frozenset(),
}

# Words of the shell's grammar that begin no command.
KEYWORDS: Final = _words("for select case esac done fi in function } [[")

# `uv run pytest` is `pytest`.
RUNNERS: Final = frozenset({"uv", "poetry", "pipenv", "pdm", "hatch", "conda", "bundle"})
SCRIPT_RUNNERS: Final = frozenset({"npm", "pnpm", "yarn", "bun"})
RUN_WORDS: Final = frozenset({"run", "exec"})

# What only prepares the command that a line is about.
PREAMBLES: Final = _words(
    "cd pushd popd export source . set unset alias ulimit umask shopt trap true : sleep mkdir echo printf test"
)

INTERPRETERS: Final = frozenset(
    {"python", "node", "bash", "sh", "zsh", "perl", "ruby", "php", "lua", "julia"}
)

# What tools with an `action` argument are told to do.
ACTIONS: Final = _words(
    "add close create delete disable edit enable kill list log patch pause poll read remove remove_file replace resume"
    " run show start stop submit update view wait write write_file"
)

SUFFIXES: Final = _words(
    ".ada .adoc .avi .awk .bash .bat .bib .bmp .bz2 .c .cc .cfg .cjs .clj .cmake .conf .cpp .cs .css .csv .cxx .dart .db"
    " .diff .doc .docx .el .elm .env .erl .ex .exs .f90 .fish .flac .gif .go .gql .gradle .graphql .groovy .gz .h .hcl"
    " .hpp .hs .htm .html .ico .ini .ipynb .java .jl .jpeg .jpg .js .json .json5 .jsonl .jsx .key .kt .less .lock .log"
    " .lua .m .make .markdown .md .mdx .mjs .mk .ml .mov .mp3 .mp4 .nim .nix .odt .ogg .org .parquet .patch .pdf .pem"
    " .php .pl .png .ppt .pptx .properties .proto .ps1 .py .pyi .pyx .r .rb .rs .rst .rtf .sass .scala .scss .sh .sql"
    " .sqlite .sum .svelte .svg .swift .tar .tcl .tex .tf .toml .ts .tsv .tsx .txt .vim .vue .wasm .wav .webm .webp .xls"
    " .xlsx .xml .yaml .yml .zig .zip .zsh"
)
