"""What of the pages does not run as it stands: by what it is replaced here, or why it is not run.

Whatever is not named here runs as a newcomer types it. An entry that fits nothing fails a test.
"""

from collections.abc import Sequence

from tests.docs.entries import Background, Entry, Given, NotRun, Replaced

TRAINING = ("docs/training.md", "docs/evaluation.md", "docs/models.md", "docs/performance.md")
"""Pages whose commands are typed in `.venv-train`; for all others it is `.venv-edge`."""

ALL = "*"
README, CONFIGURATION, DOCTOR = "README.md", "docs/configuration.md", "docs/doctor.md"
EVALUATION, INSTALL, PERFORMANCE = "docs/evaluation.md", "docs/install.md", "docs/performance.md"
SWAP, TRAIN, PI = "docs/models-on-the-device.md", "docs/training.md", "docs/raspberry-pi.md"
FIRST, GO, VIEWER = "docs/first-steps.md", "examples/go/README.md", "docs/viewer.md"

MAKE = "python -m tests.docs.given"
NEWEST = "$(ls -dt runs/*/ | head -n 1)"
SMALL = "--data small.npz --epochs 1"
SYSTEMD = "systemd is not the first process of a machine that tests"
HERE = """ARCH=$(uname -m) PYTHONS=$(python -c "import sys; print('%d.%d' % sys.version_info[:2])")"""
A_RUN = f"ls runs/*/metrics.json 2>/dev/null || ({MAKE} images small.npz && python -m training {SMALL})"
CUT_OFF = """(python -m training --data small.npz --epochs 20 --runs cut-off & cut_off=$!
eventually bash -c "ls cut-off/*/models/last.npz"
kill -KILL $cut_off; wait $cut_off || true
mv cut-off/* runs/)"""
ANSWERED = """python -m edge.classifier --model samples/lenet.onnx &
python -m edge.query --limit 100 --interval 0"""
DEAD_LETTERS = f"""({MAKE} wrong-requests 60
python -m edge.classifier --model samples/lenet.onnx & answering=$!
eventually bash -c "python -m edge.deadletter list --summary | grep -w 30"
kill $answering; wait $answering)"""

ENTRIES: Sequence[Entry] = (
    # What runs until it is stopped, and shows that it works.
    Background(ALL, r"-m localkafka", "ready on", until_end_of_page=True),
    Background(FIRST, r"classifier --model \S+\s*$", "partitions assigned", until_end_of_page=True),
    Background(GO, r"classifier --model \S+\s*$", "partitions assigned", until_end_of_page=True),
    Background(ALL, r"^(EDGE_\w+=\S+ )?(python -m edge\.|edge-)classifier (?!-v|--help|.* & )", "partitions assigned"),
    Background(DOCTOR, r"&& exec python -m edge\.classifier", "partitions assigned"),
    Background(ALL, r"^python -m edge\.consumer --stats\s*$", "partitions assigned", "%"),
    Background(ALL, r"^python -m edge\.consumer(?!.*--limit)", "partitions assigned"),
    Background(ALL, r"^python -m edge\.query --images (?!.*--limit)", "watching"),
    Background(ALL, r"^python -m edge\.query (?!.*--limit)", ""),
    Background(ALL, r"^python -m edge\.counter produce\s*$", "wrote 1"),
    Background(ALL, r"^python -m edge\.counter consume\s*$", "partitions assigned", "read 1"),
    Background(VIEWER, r"-m viewer ", "viewer ready on"),
    Given(README, r"pi-7 --delivery", "stop $kept  # the other of two ways, not one more process of that name"),
    Given(FIRST, r"--limit 500 &", "stop $broker  # as the page says, the classifier"),
    Given(FIRST, r"edge\.deadletter list", "eventually python -m edge.deadletter list"),
    Given("docs/consumer.md", r"--images --contract", f"stop $kept  # Ctrl-C\n{ANSWERED}"),
    # What the reader has.
    Given(ALL, r"\bmodel\.onnx|edge.classifier(?!@)", "[ -e model.onnx ] || cp samples/lenet.onnx model.onnx"),
    Given(ALL, r"camera/", f"{MAKE} camera camera"),
    Given(ALL, r"pictures\.npz", f"{MAKE} images pictures.npz"),
    Given(ALL, r"-m training\b(?! --data| --dont| --list| --comp)", f"{MAKE} images small.npz"),
    Given(ALL, r"-m training --resume", CUT_OFF),
    Given(PERFORMANCE, r"\bRUN\b", f"{MAKE} images small.npz && python -m training --data small.npz --epochs 20"),
    Given(ALL, r"\bRUN\b", A_RUN),
    Given(ALL, r"edge\.deadletter list --summary", DEAD_LETTERS),
    Given(CONFIGURATION, r"edge-classifier --help", "pip install ."),
    Given(SWAP, r"/srv/model\.onnx --watch", "mkdir srv && cp samples/lenet.onnx srv/model.onnx"),
    Given(SWAP, r"cp new\.onnx", "cp samples/smallcnn.onnx new.onnx"),
    Given(SWAP, r"large\.onnx", "cp samples/smallcnn.onnx large.onnx"),
    Given(TRAIN, r"mine\.toml", "cp training/recipes/lenet.toml mine.toml"),
    Given(PERFORMANCE, r"lenet\.float32\.onnx", f"python -m export {NEWEST} -o lenet.float32.onnx"),
    # Hosts, ports and folders of another machine.
    Replaced(ALL, r"-m localkafka", "-m localkafka --port {port}", "9092 may be in use"),
    Replaced(ALL, r"\b(localhost|kafka\.local|broker):9092", "localhost:{port}", "the broker of this page"),
    Replaced(ALL, r"\b9464\b", "{metrics}", "9464 may be in use"),
    Replaced(VIEWER, r"-m viewer", r"\g<0> --port {metrics}", "8765 may be in use"),
    Replaced(SWAP, r"/srv/", "srv/", "not into the system's folders"),
    Replaced(CONFIGURATION, r"/etc/onnx-kafka-edge/", "deploy/", "not installed on this machine"),
    Replaced(CONFIGURATION, r"/opt/onnx-kafka-edge/current/venv/bin/", "", "not installed on this machine"),
    Replaced(CONFIGURATION, r"~/\.config/fish/completions/", "", "not into the user's folders"),
    # What takes long.
    NotRun(README, r"^make test", "the part `test` of `make test-all` runs it, in a fresh checkout as well"),
    NotRun(README, r"-m bench\.peers", "20 minutes, and environments of other projects: `make bench`"),
    Replaced(README, r"--epochs 30", "--epochs 1", "a minute, on all images, instead of ten"),
    Replaced(ALL, r"(-m training)(?! --data| --resume| --dont| --list| --comp)", rf"\1 {SMALL}", "hours"),
    Replaced(TRAIN, r"--recipe resnet20-gpu", r"\g<0> --set warmup_epochs=0", "more than the one epoch of here"),
    Replaced(TRAIN, r"-m tests\.training\.speed", r"\g<0> --steps 10 --rounds 1", "minutes"),
    Replaced(ALL, r"-m bench\.latency", r"\g<0> --duration 3 --warm-up 1 --rounds 1", "minutes"),
    Replaced(ALL, r"-m bench\.throughput", r"\g<0> --requests 2000 --rounds 1", "minutes"),
    Replaced(ALL, r"-m bench\.startup", r"\g<0> --rounds 1 --idle 1", "minutes"),
    Replaced(PERFORMANCE, r"make bench", "make report", "an hour; this is its last step"),
    Replaced("docs/query.md", r"-m tests\.faults\.spool", r"\g<0> --images 300 --kills 2 --outages 1", "minutes"),
    NotRun(VIEWER, r"^make test|tests\.viewer", "the part `viewer` of `make test-all`, in a real Chromium"),
    NotRun(VIEWER, r"^make viewer", "it takes the ports 9092 and 8765; what it starts is started by other commands"),
    # Placeholders, and tools by another name.
    Replaced(CONFIGURATION, r"edge-query -v", "edge-query -v --interval 0", "45 s"),
    Replaced(CONFIGURATION, r"grep b2\w+", 'grep $(grep -om1 \'"id": "[0-9a-f]*\' log.json | cut -c8-)', "an id"),
    Replaced(CONFIGURATION, r"eval \"\$\((\w+=zsh_source \S+)\)\"", r"\1", "bash reads this"),
    Replaced(EVALUATION, r" \[RUN\]", "", "it may be left out"),
    Replaced(ALL, r"RUN RUN …", "$(ls -d runs/*/ | head -n 2)", "any two"),
    Replaced(ALL, r"\bRUN\b", NEWEST, "any"),
    Replaced(ALL, r"kafka-configs\.sh", f"{MAKE} kafka kafka.admin.ConfigCommand", "the program that it starts"),
    Replaced(GO, r"^go ", "PATH=$PATH:/usr/local/go/bin go ", "where Go's own archive puts it"),
    Replaced(FIRST, r"(--limit 500) &", r"\1 & asking=$!", "for the next line"),
    Replaced(FIRST, r"kill -9 \$!", r"\g<0>; wait $asking", "the terminal stays open until all 500 are sent"),
    # What needs another machine, or what is not installed.
    NotRun(PI, r"apt install", "it changes the machine"),
    Replaced(PI, r"python3 -m venv (\S+) && \. \1", ". .venv-edge", "packages are not installed again"),
    NotRun(
        "examples/README.md",
        r"jupyter-execute",
        "the part `notebook` of `make test-all` executes it, in that environment",
    ),
    NotRun(EVALUATION, r"^tensorboard", "not installed, as the page says"),
    NotRun("docs/operations.md", r"^promtool", "tests/lint/test_alerts.py runs it where it is installed"),
    # An installation by root: into folders of the checkout instead.
    Replaced(INSTALL, r"\bsudo ", "", "not as another user"),
    Replaced(INSTALL, r"(install\.sh \S+) \S+", r"\1", "without units, which refuse a Python in somebody's home"),
    Replaced(INSTALL, r"/(etc|opt|var)/", r"$root/\1/", "not into the system's folders"),
    Given(INSTALL, r"make bundle", "root=$PWD; mkdir -p etc/systemd/system opt"),
    Replaced(INSTALL, r"make bundle ARCH=aarch64", f"make bundle {HERE}", "a bundle for this machine"),
    Given(INSTALL, r"^sha256sum", "cd dist"),
    Replaced(INSTALL, r"0\.[12]\.0-aarch64", "0.1.0-$(uname -m)", "a bundle for this machine; there is one release"),
    Replaced(INSTALL, r"nano (\S+)", r"sed -i s/localhost:9092/localhost:{port}/ \1", "not typed by anybody"),
    Replaced(INSTALL, r"0\.\d\.0-[0-9a-f]{12}", "$(ls $root/opt/onnx-kafka-edge/releases)", "its name is another here"),
    NotRun(INSTALL, r"systemctl|journalctl", SYSTEMD),
)
