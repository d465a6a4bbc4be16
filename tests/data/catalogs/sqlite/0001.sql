BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0001');
CREATE TABLE answer (
	id TEXT NOT NULL, 
	asked TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	question TEXT NOT NULL, 
	record TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "answer" VALUES('answer-1','2026-11-22T23:43:17.538+00:00','default','What is the fee?','{"asked_by": {"tenant": "default", "principals": ["alice"]}, "filter": null, "top": 10, "answer": "The fee is 3%.", "known": true, "model": "m-1", "usage": {"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0, "counted_by": "", "exact": true, "cost": 0, "priced": true}, "citations": [], "passages": [{"id": "7d54e2be1acf4b89ba2a0be3c5898079", "document": "file:///fee", "version": 1, "text": "The fee is 3%."}], "conversation": "69d8d1a154324fa38b0f522c51af08c3"}');
CREATE TABLE book (
	id INTEGER NOT NULL, 
	epoch BIGINT NOT NULL, 
	index_identity TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "book" VALUES(1,3,'index:model');
CREATE TABLE document (
	id INTEGER NOT NULL, 
	tenant TEXT NOT NULL, 
	uri TEXT NOT NULL, 
	source_id INTEGER NOT NULL, 
	access TEXT NOT NULL, 
	state TEXT NOT NULL, 
	error TEXT, 
	transient BOOLEAN NOT NULL, 
	attempts INTEGER NOT NULL, 
	versions INTEGER NOT NULL, 
	live_version_id INTEGER, 
	fingerprint TEXT NOT NULL, 
	content_hash TEXT, 
	recipe TEXT NOT NULL, 
	seconds TEXT NOT NULL, 
	updated TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (tenant, uri)
);
INSERT INTO "document" VALUES(1,'default','file:///fee',1,'[]','live',NULL,0,1,1,1,'f-(''The fee is 3%.'', ''It is paid by the buyer.'')','hash of The fee is 3%.|It is paid by the buyer.','recipe','{}','2026-11-22T23:43:17.502+00:00');
INSERT INTO "document" VALUES(2,'default','file:///lamps',1,'["alice"]','live',NULL,0,1,1,2,'f-(''Lamps cost 49.'',)','hash of Lamps cost 49.','recipe','{}','2026-11-22T23:43:17.502+00:00');
INSERT INTO "document" VALUES(4,'default','file:///changed',1,'[]','live',NULL,0,2,2,5,'f-(''After.'',)','hash of After.','recipe','{}','2026-11-22T23:43:17.524+00:00');
INSERT INTO "document" VALUES(5,'default','file:///staged',1,'[]','pending',NULL,0,0,1,NULL,'',NULL,'','{}','2026-11-22T23:43:17.526+00:00');
INSERT INTO "document" VALUES(6,'default','file:///broken',1,'[]','failed','It is broken',0,1,0,NULL,'f',NULL,'recipe','{}','2026-11-22T23:43:17.528+00:00');
CREATE TABLE embedding (
	fingerprint TEXT NOT NULL, 
	text_key TEXT NOT NULL, 
	vector BLOB NOT NULL, 
	terms BLOB NOT NULL, 
	PRIMARY KEY (fingerprint, text_key)
);
INSERT INTO "embedding" VALUES('model','8c147afa6e01d67181d556228170c785',X'000000000000803F',X'07000000FFFFFFFF000000000000003F');
INSERT INTO "embedding" VALUES('model','8719d995465d7ff4c57991ca22fd08d9',X'0000803F0000803F',X'07000000FFFFFFFF0000803F0000003F');
INSERT INTO "embedding" VALUES('model','e607c39cc3d29f4ba4ee72b9c8f9b14c',X'000000400000803F',X'07000000FFFFFFFF000000400000003F');
INSERT INTO "embedding" VALUES('model','1dd2665d3477294fa35426c763a31576',X'000040400000803F',X'07000000FFFFFFFF000040400000003F');
CREATE TABLE parsed (
	version_id INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	language TEXT, 
	PRIMARY KEY (version_id)
);
INSERT INTO "parsed" VALUES(1,'The fee is 3%.
It is paid by the buyer.
',NULL);
INSERT INTO "parsed" VALUES(2,'Lamps cost 49.
',NULL);
INSERT INTO "parsed" VALUES(4,'Before.
',NULL);
INSERT INTO "parsed" VALUES(5,'After.
',NULL);
INSERT INTO "parsed" VALUES(6,'On its way.
',NULL);
CREATE TABLE passage (
	id TEXT NOT NULL, 
	version_id INTEGER NOT NULL, 
	ordinal INTEGER NOT NULL, 
	start_offset INTEGER NOT NULL, 
	end_offset INTEGER NOT NULL, 
	text TEXT NOT NULL, 
	heading_path TEXT NOT NULL, 
	page INTEGER, 
	location TEXT, 
	language TEXT, 
	text_key TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "passage" VALUES('7d54e2be1acf4b89ba2a0be3c5898079',1,0,0,14,'The fee is 3%.','["H"]',2,NULL,NULL,'8c147afa6e01d67181d556228170c785');
INSERT INTO "passage" VALUES('89e00b532e0fcf2785e5923159e9e2e7',1,1,15,39,'It is paid by the buyer.','["H"]',2,NULL,NULL,'8719d995465d7ff4c57991ca22fd08d9');
INSERT INTO "passage" VALUES('b66b033ce4f086a8c3db6674ff460890',2,0,0,14,'Lamps cost 49.','["H"]',2,NULL,NULL,'e607c39cc3d29f4ba4ee72b9c8f9b14c');
INSERT INTO "passage" VALUES('41dacda23e7009f9b0990b977a56e5c1',4,0,0,7,'Before.','["H"]',2,NULL,NULL,'5c8a37d1055033a1caad85918ac75cd7');
INSERT INTO "passage" VALUES('029446a4ace956a78e7fb33357461d7b',5,0,0,6,'After.','["H"]',2,NULL,NULL,'1dd2665d3477294fa35426c763a31576');
INSERT INTO "passage" VALUES('4e070beb917745b39911916d93aad427',6,0,0,11,'On its way.','["H"]',2,NULL,NULL,'dfe88d72a4f48584ce76cbbb1b2cdf30');
CREATE TABLE source (
	id INTEGER NOT NULL, 
	url TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	access TEXT NOT NULL, 
	options TEXT NOT NULL, 
	added TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (tenant, url)
);
INSERT INTO "source" VALUES(1,'file:///docs','default','[]','{"include": ["*.md"], "exclude": []}','2026-11-22T23:43:17.498+00:00');
CREATE TABLE version (
	id INTEGER NOT NULL, 
	document_id INTEGER NOT NULL, 
	number INTEGER NOT NULL, 
	state TEXT NOT NULL, 
	content_hash TEXT NOT NULL, 
	recipe TEXT NOT NULL, 
	title TEXT, 
	metadata TEXT NOT NULL, 
	created TEXT NOT NULL, 
	PRIMARY KEY (id), 
	UNIQUE (document_id, number)
);
INSERT INTO "version" VALUES(1,1,1,'live','hash of The fee is 3%.|It is paid by the buyer.','recipe','Fee','{"name": "fee"}','2026-11-22T23:43:17.500+00:00');
INSERT INTO "version" VALUES(2,2,1,'live','hash of Lamps cost 49.','recipe','Lamps','{"name": "lamps"}','2026-11-22T23:43:17.500+00:00');
INSERT INTO "version" VALUES(4,4,1,'retired','hash of Before.','recipe','Changed','{"name": "changed"}','2026-11-22T23:43:17.500+00:00');
INSERT INTO "version" VALUES(5,4,2,'live','hash of After.','recipe','Changed','{"name": "changed"}','2026-11-22T23:43:17.522+00:00');
INSERT INTO "version" VALUES(6,5,1,'staged','hash of On its way.','recipe','Staged','{"name": "staged"}','2026-11-22T23:43:17.526+00:00');
CREATE INDEX ix_document_source_id ON document (source_id);
CREATE INDEX version_content ON version (content_hash, recipe);
CREATE INDEX version_state ON version (state);
CREATE INDEX ix_passage_text_key ON passage (text_key);
CREATE UNIQUE INDEX passage_place ON passage (version_id, ordinal);
COMMIT;
