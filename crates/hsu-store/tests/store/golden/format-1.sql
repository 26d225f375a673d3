-- The state of a store of format 1, as text. Never changed: see tests/store/golden.rs.
PRAGMA application_id = 1213420877;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE event (
        sequence INTEGER PRIMARY KEY, worker TEXT, body TEXT NOT NULL, seal INTEGER NOT NULL
    );
INSERT INTO "event" VALUES(1,'worker-1','{"sequence":1,"at":1700000000000000000,"worker":"worker-1","actor":"master","kind":{"spawned":{"run":1,"pid":4242}}}',-868490966298028500);
INSERT INTO "event" VALUES(2,'worker-2','{"sequence":2,"at":1700000000000000000,"worker":"worker-2","actor":"master","kind":{"spawned":{"run":2,"pid":4242}}}',5916807998253017891);
INSERT INTO "event" VALUES(3,'worker-3','{"sequence":3,"at":1700000000000000000,"worker":"worker-3","actor":"master","kind":{"spawned":{"run":3,"pid":4242}}}',3366165158279576474);
INSERT INTO "event" VALUES(4,'worker-4','{"sequence":4,"at":1700000000000000000,"worker":"worker-4","actor":"master","kind":{"spawned":{"run":4,"pid":4242}}}',-2426417761097689735);
INSERT INTO "event" VALUES(5,'worker-5','{"sequence":5,"at":1700000000000000000,"worker":"worker-5","actor":"master","kind":{"spawned":{"run":5,"pid":4242}}}',3701714978588734896);
INSERT INTO "event" VALUES(6,'worker-6','{"sequence":6,"at":1700000000000000000,"worker":"worker-6","actor":"master","kind":{"spawned":{"run":6,"pid":4242}}}',105131952075274639);
INSERT INTO "event" VALUES(7,'worker-7','{"sequence":7,"at":1700000000000000000,"worker":"worker-7","actor":"master","kind":{"spawned":{"run":7,"pid":4242}}}',-3351979440083211234);
INSERT INTO "event" VALUES(8,'worker-8','{"sequence":8,"at":1700000000000000000,"worker":"worker-8","actor":"master","kind":{"spawned":{"run":8,"pid":4242}}}',-5519186623329935483);
INSERT INTO "event" VALUES(9,'worker-9','{"sequence":9,"at":1700000000000000000,"worker":"worker-9","actor":"master","kind":{"spawned":{"run":9,"pid":4242}}}',-8577342655093381324);
INSERT INTO "event" VALUES(10,'worker-0','{"sequence":10,"at":1700000000000000000,"worker":"worker-0","actor":"master","kind":{"spawned":{"run":10,"pid":4242}}}',-8271399795419500694);
INSERT INTO "event" VALUES(11,'worker-1','{"sequence":11,"at":1700000000000000000,"worker":"worker-1","actor":"master","kind":{"spawned":{"run":11,"pid":4242}}}',4122706509076399987);
INSERT INTO "event" VALUES(12,'worker-2','{"sequence":12,"at":1700000000000000000,"worker":"worker-2","actor":"master","kind":{"spawned":{"run":12,"pid":4242}}}',4935604010931571436);
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('boot','07070707070707070707070707070707',393725111015977135);
INSERT INTO "meta" VALUES('clean','yes',5955162371330062213);
INSERT INTO "meta" VALUES('next_run','13',-3071252003771807206);
INSERT INTO "meta" VALUES('reserved_runs','65549',-7677280333619925261);
CREATE TABLE worker (id TEXT PRIMARY KEY, record TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO "worker" VALUES('worker-0','{"removed":false,"wanted":true,"enabled":null,"state":"running","reason":"its process runs","run":10,"accounted":null,"started":null,"restarts":10,"attempts":0,"breaker":"closed","next_attempt":null,"last_exit":null,"history":[]}',-5030988034244850421);
INSERT INTO "worker" VALUES('worker-1','{"removed":false,"wanted":true,"enabled":null,"state":"running","reason":"its process runs","run":11,"accounted":null,"started":null,"restarts":11,"attempts":0,"breaker":"closed","next_attempt":null,"last_exit":null,"history":[]}',-7262204996320099428);
INSERT INTO "worker" VALUES('worker-2','{"removed":false,"wanted":true,"enabled":null,"state":"running","reason":"its process runs","run":12,"accounted":null,"started":null,"restarts":12,"attempts":0,"breaker":"closed","next_attempt":null,"last_exit":null,"history":[]}',-1722800754537250151);
INSERT INTO "worker" VALUES('worker-3','{"removed":false,"wanted":true,"enabled":null,"state":"running","reason":"its process runs","run":3,"accounted":null,"started":null,"restarts":3,"attempts":0,"breaker":"closed","next_attempt":null,"last_exit":null,"history":[]}',580013956273577462);
INSERT INTO "worker" VALUES('worker-4','{"removed":false,"wanted":true,"enabled":null,"state":"running","reason":"its process runs","run":4,"accounted":null,"started":null,"restarts":4,"attempts":0,"breaker":"closed","next_attempt":null,"last_exit":null,"history":[]}',7500140904084554381);
INSERT INTO "worker" VALUES('worker-5','{"removed":false,"wanted":true,"enabled":null,"state":"running","reason":"its process runs","run":5,"accounted":null,"started":null,"restarts":5,"attempts":0,"breaker":"closed","next_attempt":null,"last_exit":null,"history":[]}',5554113353999992812);
INSERT INTO "worker" VALUES('worker-6','{"removed":false,"wanted":true,"enabled":null,"state":"running","reason":"its process runs","run":6,"accounted":null,"started":null,"restarts":6,"attempts":0,"breaker":"closed","next_attempt":null,"last_exit":null,"history":[]}',9187407832195693875);
INSERT INTO "worker" VALUES('worker-7','{"removed":false,"wanted":true,"enabled":null,"state":"running","reason":"its process runs","run":7,"accounted":null,"started":null,"restarts":7,"attempts":0,"breaker":"closed","next_attempt":null,"last_exit":null,"history":[]}',3422573162542990930);
INSERT INTO "worker" VALUES('worker-8','{"removed":false,"wanted":true,"enabled":null,"state":"running","reason":"its process runs","run":8,"accounted":null,"started":null,"restarts":8,"attempts":0,"breaker":"closed","next_attempt":null,"last_exit":null,"history":[]}',285594162172907561);
INSERT INTO "worker" VALUES('worker-9','{"removed":false,"wanted":true,"enabled":null,"state":"running","reason":"its process runs","run":9,"accounted":null,"started":null,"restarts":9,"attempts":0,"breaker":"closed","next_attempt":null,"last_exit":null,"history":[]}',2252194665436150200);
CREATE INDEX event_by_worker ON event (worker, sequence);
COMMIT;
