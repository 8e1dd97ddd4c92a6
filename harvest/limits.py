"""The bounds on what arrives, each with its reason.

Anyone who can publish to the topic can send anything. What keeps to these bounds is stored and shown
at a known cost; what breaks one is kept as a rejected message, or cut where it is only shown.
"""

from __future__ import annotations

# --- A message ------------------------------------------------------------------------------------

#: Bytes of a body: what SQS takes. Nothing larger can arrive.
MAX_BODY = 1024 * 1024

#: Levels of JSON. Rikolti's deepest message (the registry record of a collection) nests 6. Python's
#: own reader gives up near 1,000 and other readers of the same data may sooner.
MAX_DEPTH = 64

#: Digits of an integer, a 64-bit number having 19. More has no use, and reading n digits takes n² steps.
MAX_DIGITS = 40

#: Fractions are this far from zero at most, and 0 or this near at least. PostgreSQL keeps numbers of
#: JSON as decimals and writes them out: a body of ``1e308`` comes back fifty times as large.
MAX_FLOAT = 1e40
MIN_FLOAT = 1e-40

#: A Python repr is parsed by Python's own parser, whose memory grows with the text: a conf is small.
MAX_REPR = 10_000

# --- What is stored in columns of its own ---------------------------------------------------------

#: SNS and SQS give UUIDs of 36 characters. What is stored and indexed has this much room.
MAX_MESSAGE_ID = 100

#: The length of Airflow's own dag_id, run_id and task_id columns.
MAX_ID = 250

#: Amazon MWAA's addresses have 80 characters. Together with the two ids a host is the key of a run,
#: and PostgreSQL indexes no key of more than 2,704 bytes, an id having up to 1,000.
MAX_HOST = 255

#: Airflow's states of a run have up to seven letters; a later version may have others.
MAX_STATE = 50

#: A note on a run, by Airflow's own rule.
MAX_NOTE = 1000

#: The name of a queue, by SQS's own rule.
MAX_QUEUE = 80

#: One line that says why: a run is lost, Airflow could not be asked, a notice was not sent.
MAX_REASON = 500

#: A version of a collection's data: a path of four folders at most, each with a date.
MAX_VERSION = 255

#: What an integer column of the databases holds.
MAX_INTEGER = 2**31 - 1

#: Characters of a value that the reason of a rejection quotes: the longest ARN of a topic has 300.
MAX_QUOTED = 300

# --- A batch --------------------------------------------------------------------------------------

#: SQS takes 1 MiB a message. Bodies are JSON in JSON: they grow by up to a half when quoted again,
#: and shrink by far more when compressed, but for text that was made not to.
MAX_BATCH_BYTES = 256 * 1024

#: One transaction stores a batch. Beyond some hundred rows a larger one gains nothing.
MAX_BATCH_MESSAGES = 200

# --- A trigger ------------------------------------------------------------------------------------

#: Collections that one submission starts runs for.
MAX_TRIGGERED = 100

#: Characters kept of what Airflow answers to a trigger.
MAX_ANSWER = 10_000

# --- A page ---------------------------------------------------------------------------------------

#: Characters of a text that a page shows, Rikolti's tracebacks having tens of thousands. A browser
#: takes long for a megabyte; the whole is a file to download.
MAX_SHOWN = 50_000

#: Characters of a text that a list shows, in one line.
MAX_LINE = 120

#: Characters of a long text that a list asks the database for, to find that line in: the last of an
#: exception's.
MAX_FETCHED = 2_000

#: Words of a search in the admin, each of which is a few queries.
MAX_WORDS = 10

#: Tests of subscriptions that a person may send in an hour: each is a mail or a request to anybody.
MAX_TESTS = 5

#: Choices that a filter beside a list offers. Rikolti has five DAGs; a stranger may invent any number.
MAX_CHOICES = 50

#: Rows of tasks on a run's page, which has pages of them. Rikolti's DAGs have some twenty tasks.
MAX_TASKS = 60

#: Failed tasks of a run that come before the others on its page. Rikolti's DAGs have some twenty tasks.
MAX_FAILED_TASKS = 1000

#: Events from which a page tells of attempts. Airflow tries a task a few times; clearing has no end.
MAX_ATTEMPTS = 200

#: Newest errors that a run's page shows. The rest is in the list of events.
MAX_ERRORS = 20

#: Mapped instances on a page, and events of a run on a page.
MAX_ROWS = 50

#: Lines of a run's history on its page.
MAX_CHANGES = 50

#: Values of JSON that a page shows as a tree that folds: each takes more of the page than its text.
MAX_NODES = 1_000

#: Characters around the place in a rejected body where it goes wrong.
MAX_AROUND = 80

#: Rejected messages that one task replays, and one action: it sends them in that many slices.
MAX_REPLAYED = 100
MAX_REPLAYED_SLICES = 100
