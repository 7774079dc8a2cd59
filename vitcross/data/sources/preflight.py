"""Asks whether the host of a data set answers, before a library tries for minutes."""

import threading
import urllib.error
import urllib.request


def no_answer(url, *, seconds):
    """Why the host of `url` does not answer within `seconds`; None if it does (an HTTP error is an answer)."""
    outcome = []

    def ask():
        request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "Mozilla/5.0"})
        try:
            urllib.request.urlopen(request, timeout=seconds).close()
            outcome.append(None)
        except urllib.error.HTTPError:
            outcome.append(None)
        except (OSError, ValueError) as error:
            outcome.append(str(error))

    # In a thread, since name resolution has no timeout.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(seconds)
    return outcome[0] if outcome else f"no answer in {seconds:g} s"
