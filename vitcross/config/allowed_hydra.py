"""Checks which features of Hydra a command or a configuration uses. It takes plain Python and does not import Hydra.

Hydra can import and call anything that a configuration names, read configurations elsewhere, and unpickle; a run needs
little of that.
"""

from vitcross.config.compatibility import ConfigError

# They choose a run, a sweep or what is printed. Left out: other folders of configurations, and --experimental-rerun,
# which unpickles.
PRINTING_FLAGS = ("--hydra-help", "-c", "--cfg", "-i", "--info", "-sc", "--shell-completion")
FLAGS = ("-h", "--help", "--version", "-m", "--multirun", "-p", "--package", "--resolve", *PRINTING_FLAGS)
ALLOWED_HYDRA_KEYS = ("hydra.run.dir", "hydra.sweep.dir", "hydra.sweeper", "hydra.launcher")
# Hydra makes what stands behind a `_target_` of its own section: its plugins are allowed.
PLUGINS = ("hydra._internal.core_plugins.", "hydra_plugins.")
# Each of them calls, loads or sets what it names.
MUST_BE_EMPTY = (
    ("callbacks",),
    ("searchpath",),
    ("job", "env_set"),
    ("job_logging", "root"),
    ("job_logging", "handlers"),
    ("job_logging", "formatters"),
    ("hydra_logging", "root"),
    ("hydra_logging", "handlers"),
    ("hydra_logging", "formatters"),
)


def check_flags(flags):
    """What was typed with a dash is known and harmless.

    Raises:
        ConfigError
    """
    for flag in flags:
        if flag.partition("=")[0] not in FLAGS:
            raise ConfigError(f"a flag must be one of {', '.join(FLAGS)}. Received: {flag}")


def check_typed(overrides):
    """Of Hydra's own keys only those of a run and a sweep are typed.

    Args:
        overrides: list of str, as typed.

    Raises:
        ConfigError
    """
    for text in overrides:
        key = text.lstrip("+~").partition("=")[0].replace("/", ".").partition("@")[0]
        is_of_hydra = (key == "hydra" and text != key) or key.startswith("hydra.")  # --cfg hydra is no override
        if is_of_hydra and not any(key == known or key.startswith(f"{known}.") for known in ALLOWED_HYDRA_KEYS):
            raise ConfigError(
                f"of Hydra's own keys only {', '.join(ALLOWED_HYDRA_KEYS)} can be typed. Received: {text}"
            )


def check_hydra(section):
    """Nothing in Hydra's own section of a composed configuration, from whatever file, calls what is not known.

    Args:
        section: dict, not resolved.

    Raises:
        ConfigError
    """
    for path in MUST_BE_EMPTY:
        value = section
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if value:
            raise ConfigError(f"hydra.{'.'.join(path)} must be empty. Received: {value}")
    for key, target in nodes(section, "hydra."):
        if key.endswith("._target_") and not str(target).startswith(PLUGINS):
            raise ConfigError(f"{key} must begin with {' or '.join(PLUGINS)}. Received: {target}")


def nodes(section, prefix=""):
    """Dotted key and value of everything in nested dicts and lists, to any depth."""
    children = section.items() if isinstance(section, dict) else enumerate(section) if isinstance(section, list) else ()
    for key, child in children:
        yield f"{prefix}{key}", child
        yield from nodes(child, f"{prefix}{key}.")
