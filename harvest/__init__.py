"""Avram's harvest pipeline: from the events of Rikolti's DAG runs to a picture of every harvest.

Read it in this order. Imports point upward in this list only.

Pure, standard library only:

limits          the bounds on what arrives, with the reason of each
errors          what can be wrong with a message
strictjson      reading JSON that a stranger wrote
sns             SQS message → SNS notification
airflow         notification → event of a DAG run; all that is Airflow's and Rikolti's
airflowpages    the addresses of Airflow's pages
status          the status rule, and when a run is stale
attempts        what a run's tasks did: their attempts, by map index and try
published       which version of a collection is in production, by its runs
batching        raw messages → one batch a run
whereabouts     where in a body that is not understood it goes wrong
news            which changes of runs people are told of, and who
wording         what they are told, as mail and as a webhook
taskids         ids of tasks that tell their run

Without Django too, with cryptography, requests, boto3 and prometheus-client:

signing         what SNS signs, and the check of it
certificates    what SNS signs with: fetched from its hosts, and kept for a while
metricfiles     the files in which processes count together
metrics         what is counted for Prometheus
webhooks        where webhooks may go, how they are signed, and sending one
airflow_api/    asking Airflow: which hosts, by which way in, what it answers

With Django, boto3 and Celery:

models/         the tables
recording/      the only writer: events, a run's status, rejected messages, replay
triggering      starting runs in Airflow, and what became of that
reconcile       which runs need a look, and what is done with each: Airflow is asked
backfill        which runs sent nothing: Airflow lists them
deleter         deletes messages in batches, in the background
rawqueue        the raw queue: receive, delete, hide
queues          all queues as SQS knows them, with their dead-letter queues
readings        how full they are, read and kept
retention       what is kept for a while only
redrive         dead letters, taken up again
telling         changes of runs → notices, for those who want to know
delivery        sending notices until they are taken
tasks           the Celery tasks record_event → recompute_run_status, the sweep, and what beat sends
results         where task results are kept
watchdog        telling systemd that this process is alive
heartbeats      who is alive: beat, workers, consumers
schedule        beat's scheduler
checks          what is wrong with the settings
consumer        the worker's custom consumer: raw queue → one chain of tasks a run
transport       Celery's SQS broker, made to outlive the network
warmshutdown    before a worker ends, its processes take what is on its way to them
monitoring      what workers tell Flower
remotecommands  what Flower and operators may ask of a worker
remotecontrol   how it is asked: over the monitoring broker, in a thread
readiness       whether all that is needed is there
gauges          how it all stands, read from the tables for Prometheus
exposition      telling Prometheus: by web, and by each worker
probes          /healthz, /readyz and /metrics
flower          who may open Flower

For people:

renewal         which requests come from pages that renew themselves
searching       what is searched for in long tables: by an index, or among the newest rows
provision       topic and queues: what should be there, and making it so
permissions     what each process may do with the queues
doctor/         how the live world is, and what to do about it
startcheck      what a worker that starts says of its settings and queues
oldregistry/    taking over the runs and events of a registry that ran before this
admin/          one file a family of pages
api/            the JSON API for dashboards
management/     rikolti_status, publish_events, setup_queues, doctor, alive and the like
apps            the Django app, which registers the checks
"""
