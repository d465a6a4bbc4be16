CREATE TABLE public.alembic_version (
    version_num character varying(32) NOT NULL
);
CREATE TABLE public.answer (
    id text NOT NULL COLLATE pg_catalog."C",
    asked text NOT NULL COLLATE pg_catalog."C",
    tenant text NOT NULL COLLATE pg_catalog."C",
    question text NOT NULL COLLATE pg_catalog."C",
    record text NOT NULL COLLATE pg_catalog."C",
    conversation_id text COLLATE pg_catalog."C"
);
CREATE TABLE public.answer_document (
    answer_id text NOT NULL COLLATE pg_catalog."C",
    document_id integer NOT NULL
);
CREATE TABLE public.book (
    id integer NOT NULL,
    epoch bigint NOT NULL,
    index_identity text COLLATE pg_catalog."C"
);
CREATE SEQUENCE public.book_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.book_id_seq OWNED BY public.book.id;
CREATE TABLE public.budget (
    tenant text NOT NULL COLLATE pg_catalog."C",
    account text NOT NULL COLLATE pg_catalog."C",
    period text NOT NULL COLLATE pg_catalog."C",
    cost_limit bigint NOT NULL
);
CREATE TABLE public.conversation (
    id text NOT NULL COLLATE pg_catalog."C",
    tenant text NOT NULL COLLATE pg_catalog."C",
    principals text NOT NULL COLLATE pg_catalog."C",
    started text NOT NULL COLLATE pg_catalog."C",
    touched text NOT NULL COLLATE pg_catalog."C",
    turns integer NOT NULL,
    summary text NOT NULL COLLATE pg_catalog."C",
    summarised integer NOT NULL,
    learned integer NOT NULL,
    revision integer NOT NULL
);
CREATE TABLE public.counter (
    name text NOT NULL COLLATE pg_catalog."C",
    last integer NOT NULL
);
CREATE TABLE public.document (
    id integer NOT NULL,
    tenant text NOT NULL COLLATE pg_catalog."C",
    uri text NOT NULL COLLATE pg_catalog."C",
    source_id integer NOT NULL,
    access text NOT NULL COLLATE pg_catalog."C",
    state text NOT NULL COLLATE pg_catalog."C",
    error text COLLATE pg_catalog."C",
    transient boolean NOT NULL,
    attempts integer NOT NULL,
    versions integer NOT NULL,
    live_version_id integer,
    fingerprint text NOT NULL COLLATE pg_catalog."C",
    content_hash text COLLATE pg_catalog."C",
    recipe text NOT NULL COLLATE pg_catalog."C",
    seconds text NOT NULL COLLATE pg_catalog."C",
    updated text NOT NULL COLLATE pg_catalog."C"
);
CREATE SEQUENCE public.document_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.document_id_seq OWNED BY public.document.id;
CREATE TABLE public.embedding (
    fingerprint text NOT NULL COLLATE pg_catalog."C",
    text_key text NOT NULL COLLATE pg_catalog."C",
    vector bytea NOT NULL,
    terms bytea NOT NULL
);
CREATE TABLE public.example (
    id text NOT NULL COLLATE pg_catalog."C",
    tenant text NOT NULL COLLATE pg_catalog."C",
    collection text NOT NULL COLLATE pg_catalog."C",
    question text NOT NULL COLLATE pg_catalog."C",
    answer text NOT NULL COLLATE pg_catalog."C",
    added text NOT NULL COLLATE pg_catalog."C",
    vector bytea NOT NULL,
    fingerprint text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.memory (
    id text NOT NULL COLLATE pg_catalog."C",
    tenant text NOT NULL COLLATE pg_catalog."C",
    principals text NOT NULL COLLATE pg_catalog."C",
    conversation_id text NOT NULL COLLATE pg_catalog."C",
    number integer NOT NULL,
    at text NOT NULL COLLATE pg_catalog."C",
    kind text NOT NULL COLLATE pg_catalog."C",
    text text NOT NULL COLLATE pg_catalog."C",
    vector bytea NOT NULL,
    fingerprint text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.parsed (
    version_id integer NOT NULL,
    text text NOT NULL COLLATE pg_catalog."C",
    language text COLLATE pg_catalog."C"
);
CREATE SEQUENCE public.parsed_version_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.parsed_version_id_seq OWNED BY public.parsed.version_id;
CREATE TABLE public.passage (
    id text NOT NULL COLLATE pg_catalog."C",
    version_id integer NOT NULL,
    ordinal integer NOT NULL,
    start_offset integer NOT NULL,
    end_offset integer NOT NULL,
    text text NOT NULL COLLATE pg_catalog."C",
    heading_path text NOT NULL COLLATE pg_catalog."C",
    page integer,
    location text COLLATE pg_catalog."C",
    language text COLLATE pg_catalog."C",
    text_key text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.reservation (
    id text NOT NULL COLLATE pg_catalog."C",
    at text NOT NULL COLLATE pg_catalog."C",
    day text NOT NULL COLLATE pg_catalog."C",
    tenant text NOT NULL COLLATE pg_catalog."C",
    account text NOT NULL COLLATE pg_catalog."C",
    purpose text NOT NULL COLLATE pg_catalog."C",
    model text NOT NULL COLLATE pg_catalog."C",
    amount bigint NOT NULL,
    expires text NOT NULL COLLATE pg_catalog."C"
);
CREATE TABLE public.source (
    id integer NOT NULL,
    url text NOT NULL COLLATE pg_catalog."C",
    tenant text NOT NULL COLLATE pg_catalog."C",
    access text NOT NULL COLLATE pg_catalog."C",
    options text NOT NULL COLLATE pg_catalog."C",
    added text NOT NULL COLLATE pg_catalog."C"
);
CREATE SEQUENCE public.source_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.source_id_seq OWNED BY public.source.id;
CREATE TABLE public.spending (
    tenant text NOT NULL COLLATE pg_catalog."C",
    account text NOT NULL COLLATE pg_catalog."C",
    day text NOT NULL COLLATE pg_catalog."C",
    cost bigint NOT NULL
);
CREATE TABLE public.table_data (
    version_id integer NOT NULL,
    ordinal integer NOT NULL,
    name text NOT NULL COLLATE pg_catalog."C",
    columns text NOT NULL COLLATE pg_catalog."C",
    row_count integer NOT NULL,
    places text NOT NULL COLLATE pg_catalog."C",
    data bytea NOT NULL
);
CREATE TABLE public.turn (
    conversation_id text NOT NULL COLLATE pg_catalog."C",
    number integer NOT NULL,
    at text NOT NULL COLLATE pg_catalog."C",
    role text NOT NULL COLLATE pg_catalog."C",
    text text NOT NULL COLLATE pg_catalog."C",
    answer_id text COLLATE pg_catalog."C",
    removed boolean NOT NULL
);
CREATE TABLE public.turn_document (
    conversation_id text NOT NULL COLLATE pg_catalog."C",
    number integer NOT NULL,
    document_id integer NOT NULL,
    version_id integer NOT NULL
);
CREATE TABLE public.usage (
    id text NOT NULL COLLATE pg_catalog."C",
    at text NOT NULL COLLATE pg_catalog."C",
    day text NOT NULL COLLATE pg_catalog."C",
    tenant text NOT NULL COLLATE pg_catalog."C",
    account text NOT NULL COLLATE pg_catalog."C",
    purpose text NOT NULL COLLATE pg_catalog."C",
    answer_id text COLLATE pg_catalog."C",
    model text NOT NULL COLLATE pg_catalog."C",
    request_id text NOT NULL COLLATE pg_catalog."C",
    outcome text NOT NULL COLLATE pg_catalog."C",
    input_tokens integer NOT NULL,
    cached_tokens integer NOT NULL,
    cache_write_tokens integer NOT NULL,
    output_tokens integer NOT NULL,
    reasoning_tokens integer NOT NULL,
    counted_by text NOT NULL COLLATE pg_catalog."C",
    exact boolean NOT NULL,
    cost bigint,
    reserved bigint NOT NULL
);
CREATE TABLE public.version (
    id integer NOT NULL,
    document_id integer NOT NULL,
    number integer NOT NULL,
    state text NOT NULL COLLATE pg_catalog."C",
    content_hash text NOT NULL COLLATE pg_catalog."C",
    recipe text NOT NULL COLLATE pg_catalog."C",
    title text COLLATE pg_catalog."C",
    metadata text NOT NULL COLLATE pg_catalog."C",
    created text NOT NULL COLLATE pg_catalog."C"
);
CREATE SEQUENCE public.version_id_seq
    AS integer
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1;
ALTER SEQUENCE public.version_id_seq OWNED BY public.version.id;
ALTER TABLE ONLY public.book ALTER COLUMN id SET DEFAULT nextval('public.book_id_seq'::regclass);
ALTER TABLE ONLY public.document ALTER COLUMN id SET DEFAULT nextval('public.document_id_seq'::regclass);
ALTER TABLE ONLY public.parsed ALTER COLUMN version_id SET DEFAULT nextval('public.parsed_version_id_seq'::regclass);
ALTER TABLE ONLY public.source ALTER COLUMN id SET DEFAULT nextval('public.source_id_seq'::regclass);
ALTER TABLE ONLY public.version ALTER COLUMN id SET DEFAULT nextval('public.version_id_seq'::regclass);
INSERT INTO public.alembic_version VALUES ('0006');
INSERT INTO public.answer VALUES ('answer-1', '2026-11-23T01:01:42.964+00:00', 'default', 'What is the fee?', '{"asked_by": {"tenant": "default", "principals": ["alice"]}, "filter": null, "top": 10, "answer": "The fee is 3%.", "known": true, "model": "m-1", "usage": {"input_tokens": 0, "output_tokens": 0, "cached_tokens": 0, "cache_write_tokens": 0, "reasoning_tokens": 0, "counted_by": "", "exact": true, "cost": 0, "priced": true}, "citations": [], "passages": [{"id": "7d54e2be1acf4b89ba2a0be3c5898079", "document": "file:///fee", "version": 1, "text": "The fee is 3%."}], "conversation": "05c3f202ded0428fa72cf5f4e4358aaf"}', '05c3f202ded0428fa72cf5f4e4358aaf');
INSERT INTO public.answer_document VALUES ('answer-1', 1);
INSERT INTO public.book VALUES (1, 3, 'index:model');
INSERT INTO public.budget VALUES ('default', 'team', 'total', 1000);
INSERT INTO public.conversation VALUES ('05c3f202ded0428fa72cf5f4e4358aaf', 'default', '["alice"]', '2026-11-23T01:01:42.935+00:00', '2026-11-23T01:01:42.940+00:00', 6, 'The fee is 3%.', 2, 2, 2);
INSERT INTO public.counter VALUES ('source', 1);
INSERT INTO public.counter VALUES ('version', 6);
INSERT INTO public.counter VALUES ('document', 6);
INSERT INTO public.document VALUES (1, 'default', 'file:///fee', 1, '[]', 'live', NULL, false, 1, 1, 1, 'f-(''The fee is 3%.'', ''It is paid by the buyer.'')', 'hash of The fee is 3%.|It is paid by the buyer.', 'recipe', '{}', '2026-11-23T01:01:42.933+00:00');
INSERT INTO public.document VALUES (2, 'default', 'file:///lamps', 1, '["alice"]', 'live', NULL, false, 1, 1, 2, 'f-(''Lamps cost 49.'',)', 'hash of Lamps cost 49.', 'recipe', '{}', '2026-11-23T01:01:42.933+00:00');
INSERT INTO public.document VALUES (4, 'default', 'file:///changed', 1, '[]', 'live', NULL, false, 2, 2, 5, 'f-(''After.'',)', 'hash of After.', 'recipe', '{}', '2026-11-23T01:01:42.956+00:00');
INSERT INTO public.document VALUES (5, 'default', 'file:///staged', 1, '[]', 'pending', NULL, false, 0, 1, NULL, '', NULL, '', '{}', '2026-11-23T01:01:42.958+00:00');
INSERT INTO public.document VALUES (6, 'default', 'file:///broken', 1, '[]', 'failed', 'It is broken', false, 1, 0, NULL, 'f', NULL, 'recipe', '{}', '2026-11-23T01:01:42.959+00:00');
INSERT INTO public.embedding VALUES ('model', '8c147afa6e01d67181d556228170c785', '\x000000000000803f', '\x07000000ffffffff000000000000003f');
INSERT INTO public.embedding VALUES ('model', '8719d995465d7ff4c57991ca22fd08d9', '\x0000803f0000803f', '\x07000000ffffffff0000803f0000003f');
INSERT INTO public.embedding VALUES ('model', 'e607c39cc3d29f4ba4ee72b9c8f9b14c', '\x000000400000803f', '\x07000000ffffffff000000400000003f');
INSERT INTO public.embedding VALUES ('model', '1dd2665d3477294fa35426c763a31576', '\x000040400000803f', '\x07000000ffffffff000040400000003f');
INSERT INTO public.example VALUES ('a9556264cb1d8d23', 'default', 'support', 'How long does a refund take?', 'Five days.', '2026-11-23T01:01:42.960+00:00', '\x0000803f0000803f', 'model');
INSERT INTO public.memory VALUES ('e49fc58dd7652ad762bdcdc859370195', 'default', '["alice"]', '05c3f202ded0428fa72cf5f4e4358aaf', 1, '2026-11-23T01:01:42.944+00:00', 'fact', 'I live in Busan.', '\x9a99193fcdcc4c3f', 'model');
INSERT INTO public.parsed VALUES (1, 'The fee is 3%.
It is paid by the buyer.
', NULL);
INSERT INTO public.parsed VALUES (2, 'Lamps cost 49.
', NULL);
INSERT INTO public.parsed VALUES (4, 'Before.
', NULL);
INSERT INTO public.parsed VALUES (5, 'After.
', NULL);
INSERT INTO public.parsed VALUES (6, 'On its way.
', NULL);
INSERT INTO public.passage VALUES ('7d54e2be1acf4b89ba2a0be3c5898079', 1, 0, 0, 14, 'The fee is 3%.', '["H"]', 2, NULL, NULL, '8c147afa6e01d67181d556228170c785');
INSERT INTO public.passage VALUES ('89e00b532e0fcf2785e5923159e9e2e7', 1, 1, 15, 39, 'It is paid by the buyer.', '["H"]', 2, NULL, NULL, '8719d995465d7ff4c57991ca22fd08d9');
INSERT INTO public.passage VALUES ('b66b033ce4f086a8c3db6674ff460890', 2, 0, 0, 14, 'Lamps cost 49.', '["H"]', 2, NULL, NULL, 'e607c39cc3d29f4ba4ee72b9c8f9b14c');
INSERT INTO public.passage VALUES ('41dacda23e7009f9b0990b977a56e5c1', 4, 0, 0, 7, 'Before.', '["H"]', 2, NULL, NULL, '5c8a37d1055033a1caad85918ac75cd7');
INSERT INTO public.passage VALUES ('029446a4ace956a78e7fb33357461d7b', 5, 0, 0, 6, 'After.', '["H"]', 2, NULL, NULL, '1dd2665d3477294fa35426c763a31576');
INSERT INTO public.passage VALUES ('4e070beb917745b39911916d93aad427', 6, 0, 0, 11, 'On its way.', '["H"]', 2, NULL, NULL, 'dfe88d72a4f48584ce76cbbb1b2cdf30');
INSERT INTO public.reservation VALUES ('call-2', '2026-11-23T01:01:42.965+00:00', '2026-11-23', 'default', 'team', 'answer', 'm-1', 50, '2121-12-17T06:21:42.968+00:00');
INSERT INTO public.source VALUES (1, 'file:///docs', 'default', '[]', '{"include": ["*.md"], "exclude": []}', '2026-11-23T01:01:42.927+00:00');
INSERT INTO public.spending VALUES ('default', '*', '2026-11-23', 40);
INSERT INTO public.spending VALUES ('default', 'team', '2026-11-23', 40);
INSERT INTO public.table_data VALUES (2, 0, 'pay', '[["name", "TEXT"], ["pay", "BIGINT"]]', 1, '[[2, 1]]', '\x64617461');
INSERT INTO public.turn VALUES ('05c3f202ded0428fa72cf5f4e4358aaf', 1, '2026-11-23T01:01:42.936+00:00', 'user', 'What is the fee? I live in Busan.', NULL, false);
INSERT INTO public.turn VALUES ('05c3f202ded0428fa72cf5f4e4358aaf', 2, '2026-11-23T01:01:42.936+00:00', 'assistant', 'The fee is 3%.', 'id of The fee is 3%.', false);
INSERT INTO public.turn VALUES ('05c3f202ded0428fa72cf5f4e4358aaf', 3, '2026-11-23T01:01:42.939+00:00', 'user', 'And lamps?', NULL, false);
INSERT INTO public.turn VALUES ('05c3f202ded0428fa72cf5f4e4358aaf', 4, '2026-11-23T01:01:42.939+00:00', 'assistant', 'Lamps cost 49.', 'id of Lamps cost 49.', false);
INSERT INTO public.turn VALUES ('05c3f202ded0428fa72cf5f4e4358aaf', 5, '2026-11-23T01:01:42.940+00:00', 'user', 'And that?', NULL, false);
INSERT INTO public.turn VALUES ('05c3f202ded0428fa72cf5f4e4358aaf', 6, '2026-11-23T01:01:42.940+00:00', 'assistant', '', NULL, true);
INSERT INTO public.turn_document VALUES ('05c3f202ded0428fa72cf5f4e4358aaf', 2, 1, 1);
INSERT INTO public.turn_document VALUES ('05c3f202ded0428fa72cf5f4e4358aaf', 4, 2, 2);
INSERT INTO public.turn_document VALUES ('05c3f202ded0428fa72cf5f4e4358aaf', 0, 1, 1);
INSERT INTO public.usage VALUES ('call-1', '2026-11-23T01:01:42.965+00:00', '2026-11-23', 'default', 'team', 'answer', 'answer-1', 'm-1', '', 'finished', 9, 0, 0, 3, 0, 'vendor', true, 40, 0);
INSERT INTO public.version VALUES (1, 1, 1, 'live', 'hash of The fee is 3%.|It is paid by the buyer.', 'recipe', 'Fee', '{"name": "fee"}', '2026-11-23T01:01:42.929+00:00');
INSERT INTO public.version VALUES (2, 2, 1, 'live', 'hash of Lamps cost 49.', 'recipe', 'Lamps', '{"name": "lamps"}', '2026-11-23T01:01:42.929+00:00');
INSERT INTO public.version VALUES (4, 4, 1, 'retired', 'hash of Before.', 'recipe', 'Changed', '{"name": "changed"}', '2026-11-23T01:01:42.929+00:00');
INSERT INTO public.version VALUES (5, 4, 2, 'live', 'hash of After.', 'recipe', 'Changed', '{"name": "changed"}', '2026-11-23T01:01:42.955+00:00');
INSERT INTO public.version VALUES (6, 5, 1, 'staged', 'hash of On its way.', 'recipe', 'Staged', '{"name": "staged"}', '2026-11-23T01:01:42.958+00:00');
ALTER TABLE ONLY public.alembic_version
    ADD CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num);
ALTER TABLE ONLY public.answer_document
    ADD CONSTRAINT answer_document_pkey PRIMARY KEY (answer_id, document_id);
ALTER TABLE ONLY public.answer
    ADD CONSTRAINT answer_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.book
    ADD CONSTRAINT book_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.budget
    ADD CONSTRAINT budget_pkey PRIMARY KEY (tenant, account, period);
ALTER TABLE ONLY public.conversation
    ADD CONSTRAINT conversation_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.counter
    ADD CONSTRAINT counter_pkey PRIMARY KEY (name);
ALTER TABLE ONLY public.document
    ADD CONSTRAINT document_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.embedding
    ADD CONSTRAINT embedding_pkey PRIMARY KEY (fingerprint, text_key);
ALTER TABLE ONLY public.example
    ADD CONSTRAINT example_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.memory
    ADD CONSTRAINT memory_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.parsed
    ADD CONSTRAINT parsed_pkey PRIMARY KEY (version_id);
ALTER TABLE ONLY public.passage
    ADD CONSTRAINT passage_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.reservation
    ADD CONSTRAINT reservation_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.source
    ADD CONSTRAINT source_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.source
    ADD CONSTRAINT source_tenant_url_key UNIQUE (tenant, url);
ALTER TABLE ONLY public.spending
    ADD CONSTRAINT spending_pkey PRIMARY KEY (tenant, account, day);
ALTER TABLE ONLY public.table_data
    ADD CONSTRAINT table_data_pkey PRIMARY KEY (version_id, ordinal);
ALTER TABLE ONLY public.turn_document
    ADD CONSTRAINT turn_document_pkey PRIMARY KEY (conversation_id, number, document_id, version_id);
ALTER TABLE ONLY public.turn
    ADD CONSTRAINT turn_pkey PRIMARY KEY (conversation_id, number);
ALTER TABLE ONLY public.usage
    ADD CONSTRAINT usage_pkey PRIMARY KEY (id);
ALTER TABLE ONLY public.version
    ADD CONSTRAINT version_document_id_number_key UNIQUE (document_id, number);
ALTER TABLE ONLY public.version
    ADD CONSTRAINT version_pkey PRIMARY KEY (id);
CREATE INDEX answer_asked ON public.answer USING btree (tenant, asked);
CREATE INDEX answer_conversation ON public.answer USING btree (conversation_id);
CREATE INDEX answer_document_document ON public.answer_document USING btree (document_id);
CREATE INDEX conversation_owner ON public.conversation USING hash (principals);
CREATE INDEX conversation_touched ON public.conversation USING btree (tenant, touched);
CREATE UNIQUE INDEX document_name ON public.document USING btree (tenant, hashtextextended(uri, (0)::bigint), hashtextextended(uri, (1)::bigint));
CREATE INDEX document_uri ON public.document USING hash (uri);
CREATE INDEX example_collection ON public.example USING btree (tenant, collection);
CREATE INDEX ix_document_source_id ON public.document USING btree (source_id);
CREATE INDEX ix_memory_conversation_id ON public.memory USING btree (conversation_id);
CREATE INDEX ix_passage_text_key ON public.passage USING btree (text_key);
CREATE INDEX ix_turn_document_document_id ON public.turn_document USING btree (document_id);
CREATE INDEX memory_owner ON public.memory USING hash (principals);
CREATE UNIQUE INDEX passage_place ON public.passage USING btree (version_id, ordinal);
CREATE INDEX reservation_end ON public.reservation USING btree (expires);
CREATE INDEX reservation_payer ON public.reservation USING btree (tenant, account, day);
CREATE INDEX usage_answer ON public.usage USING btree (answer_id);
CREATE INDEX usage_at ON public.usage USING btree (at);
CREATE INDEX usage_payer ON public.usage USING btree (tenant, day, account);
CREATE INDEX version_content ON public.version USING btree (content_hash, recipe);
CREATE INDEX version_state ON public.version USING btree (state);
ALTER TABLE ONLY public.memory
    ADD CONSTRAINT memory_conversation FOREIGN KEY (conversation_id) REFERENCES public.conversation(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.turn
    ADD CONSTRAINT turn_conversation FOREIGN KEY (conversation_id) REFERENCES public.conversation(id) ON DELETE CASCADE;
ALTER TABLE ONLY public.turn_document
    ADD CONSTRAINT turn_document_conversation FOREIGN KEY (conversation_id) REFERENCES public.conversation(id) ON DELETE CASCADE;
SELECT pg_catalog.setval('public.book_id_seq', 1, false);
SELECT pg_catalog.setval('public.document_id_seq', 1, false);
SELECT pg_catalog.setval('public.parsed_version_id_seq', 1, false);
SELECT pg_catalog.setval('public.source_id_seq', 1, false);
SELECT pg_catalog.setval('public.version_id_seq', 1, false);
