BEGIN TRANSACTION;
CREATE TABLE alembic_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "alembic_version" VALUES('0006');
CREATE TABLE answer (
	id TEXT NOT NULL, 
	asked TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	question TEXT NOT NULL, 
	record TEXT NOT NULL, conversation_id TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "answer" VALUES('answer-1','2026-11-23T01:01:42.573+00:00','default','What is the fee?','{"asked_by": {"tenant": "default", "principals": ["alice"]}, "filter": null, "top": 10, "answer": "The fee is 3%.", "known": true, "model": "m-1", "usage": {"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0, "counted_by": "", "exact": true, "cost": 0, "priced": true}, "citations": [], "passages": [{"id": "7d54e2be1acf4b89ba2a0be3c5898079", "document": "file:///fee", "version": 1, "text": "The fee is 3%."}], "conversation": "88741fe635ae4360aa6ed33c0464fef1"}','88741fe635ae4360aa6ed33c0464fef1');
CREATE TABLE answer_document (
	answer_id TEXT NOT NULL, 
	document_id INTEGER NOT NULL, 
	PRIMARY KEY (answer_id, document_id)
);
INSERT INTO "answer_document" VALUES('answer-1',1);
CREATE TABLE book (
	id INTEGER NOT NULL, 
	epoch BIGINT NOT NULL, 
	index_identity TEXT, 
	PRIMARY KEY (id)
);
INSERT INTO "book" VALUES(1,3,'index:model');
CREATE TABLE budget (
	tenant TEXT NOT NULL, 
	account TEXT NOT NULL, 
	period TEXT NOT NULL, 
	cost_limit BIGINT NOT NULL, 
	PRIMARY KEY (tenant, account, period)
);
INSERT INTO "budget" VALUES('default','team','total',1000);
CREATE TABLE conversation (
	id TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	principals TEXT NOT NULL, 
	started TEXT NOT NULL, 
	touched TEXT NOT NULL, 
	turns INTEGER NOT NULL, 
	summary TEXT NOT NULL, 
	summarised INTEGER NOT NULL, 
	learned INTEGER NOT NULL, 
	revision INTEGER NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "conversation" VALUES('88741fe635ae4360aa6ed33c0464fef1','default','["alice"]','2026-11-23T01:01:42.555+00:00','2026-11-23T01:01:42.558+00:00',6,'The fee is 3%.',2,2,2);
CREATE TABLE counter (
	name TEXT NOT NULL, 
	last INTEGER NOT NULL, 
	PRIMARY KEY (name)
);
INSERT INTO "counter" VALUES('source',1);
INSERT INTO "counter" VALUES('document',6);
INSERT INTO "counter" VALUES('version',6);
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
INSERT INTO "document" VALUES(1,'default','file:///fee',1,'[]','live',NULL,0,1,1,1,'f-(''The fee is 3%.'', ''It is paid by the buyer.'')','hash of The fee is 3%.|It is paid by the buyer.','recipe','{}','2026-11-23T01:01:42.554+00:00');
INSERT INTO "document" VALUES(2,'default','file:///lamps',1,'["alice"]','live',NULL,0,1,1,2,'f-(''Lamps cost 49.'',)','hash of Lamps cost 49.','recipe','{}','2026-11-23T01:01:42.554+00:00');
INSERT INTO "document" VALUES(4,'default','file:///changed',1,'[]','live',NULL,0,2,2,5,'f-(''After.'',)','hash of After.','recipe','{}','2026-11-23T01:01:42.568+00:00');
INSERT INTO "document" VALUES(5,'default','file:///staged',1,'[]','pending',NULL,0,0,1,NULL,'',NULL,'','{}','2026-11-23T01:01:42.568+00:00');
INSERT INTO "document" VALUES(6,'default','file:///broken',1,'[]','failed','It is broken',0,1,0,NULL,'f',NULL,'recipe','{}','2026-11-23T01:01:42.569+00:00');
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
CREATE TABLE example (
	id TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	collection TEXT NOT NULL, 
	question TEXT NOT NULL, 
	answer TEXT NOT NULL, 
	added TEXT NOT NULL, 
	vector BLOB NOT NULL, 
	fingerprint TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "example" VALUES('a9556264cb1d8d23','default','support','How long does a refund take?','Five days.','2026-11-23T01:01:42.571+00:00',X'0000803F0000803F','model');
CREATE TABLE memory (
        id TEXT NOT NULL PRIMARY KEY,
        tenant TEXT NOT NULL,
        principals TEXT NOT NULL,
        conversation_id TEXT NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        at TEXT NOT NULL,
        kind TEXT NOT NULL,
        text TEXT NOT NULL,
        vector BLOB NOT NULL,
        fingerprint TEXT NOT NULL
    );
INSERT INTO "memory" VALUES('aa4111cbd2944523924cb690031cab43','default','["alice"]','88741fe635ae4360aa6ed33c0464fef1',1,'2026-11-23T01:01:42.560+00:00','fact','I live in Busan.',X'9A99193FCDCC4C3F','model');
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
CREATE TABLE reservation (
	id TEXT NOT NULL, 
	at TEXT NOT NULL, 
	day TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	account TEXT NOT NULL, 
	purpose TEXT NOT NULL, 
	model TEXT NOT NULL, 
	amount BIGINT NOT NULL, 
	expires TEXT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "reservation" VALUES('call-2','2026-11-23T01:01:42.573+00:00','2026-11-23','default','team','answer','m-1',50,'2121-12-17T06:21:42.575+00:00');
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
INSERT INTO "source" VALUES(1,'file:///docs','default','[]','{"include": ["*.md"], "exclude": []}','2026-11-23T01:01:42.551+00:00');
CREATE TABLE spending (
	tenant TEXT NOT NULL, 
	account TEXT NOT NULL, 
	day TEXT NOT NULL, 
	cost BIGINT NOT NULL, 
	PRIMARY KEY (tenant, account, day)
);
INSERT INTO "spending" VALUES('default','*','2026-11-23',40);
INSERT INTO "spending" VALUES('default','team','2026-11-23',40);
CREATE TABLE table_data (
	version_id INTEGER NOT NULL, 
	ordinal INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	columns TEXT NOT NULL, 
	row_count INTEGER NOT NULL, 
	places TEXT NOT NULL, 
	data BLOB NOT NULL, 
	PRIMARY KEY (version_id, ordinal)
);
INSERT INTO "table_data" VALUES(2,0,'pay','[["name", "TEXT"], ["pay", "BIGINT"]]',1,'[[2, 1]]',X'64617461');
CREATE TABLE turn (
        conversation_id TEXT NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        at TEXT NOT NULL,
        role TEXT NOT NULL,
        text TEXT NOT NULL,
        answer_id TEXT,
        removed BOOLEAN NOT NULL,
        PRIMARY KEY (conversation_id, number)
    );
INSERT INTO "turn" VALUES('88741fe635ae4360aa6ed33c0464fef1',1,'2026-11-23T01:01:42.556+00:00','user','What is the fee? I live in Busan.',NULL,0);
INSERT INTO "turn" VALUES('88741fe635ae4360aa6ed33c0464fef1',2,'2026-11-23T01:01:42.556+00:00','assistant','The fee is 3%.','id of The fee is 3%.',0);
INSERT INTO "turn" VALUES('88741fe635ae4360aa6ed33c0464fef1',3,'2026-11-23T01:01:42.557+00:00','user','And lamps?',NULL,0);
INSERT INTO "turn" VALUES('88741fe635ae4360aa6ed33c0464fef1',4,'2026-11-23T01:01:42.557+00:00','assistant','Lamps cost 49.','id of Lamps cost 49.',0);
INSERT INTO "turn" VALUES('88741fe635ae4360aa6ed33c0464fef1',5,'2026-11-23T01:01:42.558+00:00','user','And that?',NULL,0);
INSERT INTO "turn" VALUES('88741fe635ae4360aa6ed33c0464fef1',6,'2026-11-23T01:01:42.558+00:00','assistant','',NULL,1);
CREATE TABLE turn_document (
        conversation_id TEXT NOT NULL REFERENCES conversation (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        document_id INTEGER NOT NULL,
        version_id INTEGER NOT NULL,
        PRIMARY KEY (conversation_id, number, document_id, version_id)
    );
INSERT INTO "turn_document" VALUES('88741fe635ae4360aa6ed33c0464fef1',2,1,1);
INSERT INTO "turn_document" VALUES('88741fe635ae4360aa6ed33c0464fef1',4,2,2);
INSERT INTO "turn_document" VALUES('88741fe635ae4360aa6ed33c0464fef1',0,1,1);
CREATE TABLE usage (
	id TEXT NOT NULL, 
	at TEXT NOT NULL, 
	day TEXT NOT NULL, 
	tenant TEXT NOT NULL, 
	account TEXT NOT NULL, 
	purpose TEXT NOT NULL, 
	answer_id TEXT, 
	model TEXT NOT NULL, 
	request_id TEXT NOT NULL, 
	outcome TEXT NOT NULL, 
	input_tokens INTEGER NOT NULL, 
	cached_tokens INTEGER NOT NULL, 
	cache_write_tokens INTEGER NOT NULL, 
	output_tokens INTEGER NOT NULL, 
	reasoning_tokens INTEGER NOT NULL, 
	counted_by TEXT NOT NULL, 
	exact BOOLEAN NOT NULL, 
	cost BIGINT, 
	reserved BIGINT NOT NULL, 
	PRIMARY KEY (id)
);
INSERT INTO "usage" VALUES('call-1','2026-11-23T01:01:42.573+00:00','2026-11-23','default','team','answer','answer-1','m-1','','finished',9,0,0,3,0,'vendor',1,40,0);
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
INSERT INTO "version" VALUES(1,1,1,'live','hash of The fee is 3%.|It is paid by the buyer.','recipe','Fee','{"name": "fee"}','2026-11-23T01:01:42.553+00:00');
INSERT INTO "version" VALUES(2,2,1,'live','hash of Lamps cost 49.','recipe','Lamps','{"name": "lamps"}','2026-11-23T01:01:42.553+00:00');
INSERT INTO "version" VALUES(4,4,1,'retired','hash of Before.','recipe','Changed','{"name": "changed"}','2026-11-23T01:01:42.553+00:00');
INSERT INTO "version" VALUES(5,4,2,'live','hash of After.','recipe','Changed','{"name": "changed"}','2026-11-23T01:01:42.566+00:00');
INSERT INTO "version" VALUES(6,5,1,'staged','hash of On its way.','recipe','Staged','{"name": "staged"}','2026-11-23T01:01:42.568+00:00');
CREATE INDEX ix_document_source_id ON document (source_id);
CREATE INDEX version_content ON version (content_hash, recipe);
CREATE INDEX version_state ON version (state);
CREATE INDEX ix_passage_text_key ON passage (text_key);
CREATE UNIQUE INDEX passage_place ON passage (version_id, ordinal);
CREATE INDEX usage_payer ON usage (tenant, day, account);
CREATE INDEX usage_answer ON usage (answer_id);
CREATE INDEX reservation_payer ON reservation (tenant, account, day);
CREATE INDEX reservation_end ON reservation (expires);
CREATE INDEX example_collection ON example (tenant, collection);
CREATE INDEX answer_document_document ON answer_document (document_id);
CREATE INDEX answer_conversation ON answer (conversation_id);
CREATE INDEX answer_asked ON answer (tenant, asked);
CREATE INDEX ix_turn_document_document_id ON turn_document (document_id);
CREATE INDEX ix_memory_conversation_id ON memory (conversation_id);
CREATE INDEX memory_owner ON memory (tenant, principals);
CREATE INDEX conversation_owner ON conversation (tenant, principals, touched);
CREATE INDEX usage_at ON usage (at);
COMMIT;
