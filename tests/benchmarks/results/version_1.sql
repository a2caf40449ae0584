PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE IF NOT EXISTS "benchmark" ("id" INTEGER NOT NULL PRIMARY KEY, "identifier" TEXT NOT NULL, "version" INTEGER NOT NULL);
INSERT INTO benchmark VALUES(1,'LAION_fMRI.V1-cka[subjects=sub-01+sub-03]',1);
INSERT INTO benchmark VALUES(2,'LAION_fMRI.V1-ood-ridge[subjects=sub-01+sub-03]',1);
CREATE TABLE IF NOT EXISTS "dataset" ("id" INTEGER NOT NULL PRIMARY KEY, "fingerprint" TEXT NOT NULL, "is_simulated" INTEGER NOT NULL, "description" TEXT NOT NULL);
INSERT INTO dataset VALUES(1,'d61d7ac28633a936',1,'{"fingerprint": "d61d7ac28633a936", "name": "/data/tiny", "root": "/data/tiny", "simulated": true, "subjects": ["sub-01", "sub-03", "sub-05", "sub-06", "sub-07"]}');
CREATE TABLE IF NOT EXISTS "run" ("id" INTEGER NOT NULL PRIMARY KEY, "started" TEXT NOT NULL, "seconds" REAL NOT NULL, "peak_memory_bytes" INTEGER NOT NULL, "machine" TEXT NOT NULL, "versions" TEXT NOT NULL);
INSERT INTO run VALUES(1,'2026-11-26T14:40:42.565694+00:00',7.5729540000000001853,372375552,'somewhere','{"brainscore-core": "2.5.0", "brainscore-vision": "2.4.2", "laion-fmri-7t": "0.1.0", "numpy": "1.26.4", "python": "3.11.7", "torch": "2.14.1"}');
INSERT INTO run VALUES(2,'2026-11-26T14:40:50.138648+00:00',0.67114099999999998757,372375552,'somewhere','{"brainscore-core": "2.5.0", "brainscore-vision": "2.4.2", "laion-fmri-7t": "0.1.0", "numpy": "1.26.4", "python": "3.11.7", "torch": "2.14.1"}');
CREATE TABLE IF NOT EXISTS "failure" ("id" INTEGER NOT NULL PRIMARY KEY, "run_id" INTEGER NOT NULL, "requested_model" TEXT NOT NULL, "model_revision" TEXT, "benchmark" TEXT, "benchmark_version" INTEGER NOT NULL, "dataset_fingerprint" TEXT NOT NULL, "error" TEXT NOT NULL, "traceback" TEXT NOT NULL, FOREIGN KEY ("run_id") REFERENCES "run" ("id"));
CREATE TABLE IF NOT EXISTS "model" ("id" INTEGER NOT NULL PRIMARY KEY, "identifier" TEXT NOT NULL, "requested" TEXT NOT NULL, "revision" TEXT NOT NULL);
INSERT INTO model VALUES(1,'pixels','pixels','0cb02a802e59af1d');
CREATE TABLE IF NOT EXISTS "result" ("id" INTEGER NOT NULL PRIMARY KEY, "run_id" INTEGER NOT NULL, "model_id" INTEGER NOT NULL, "benchmark_id" INTEGER NOT NULL, "dataset_id" INTEGER NOT NULL, "benchmark_as_scored" TEXT NOT NULL, "normalization" TEXT NOT NULL, "voxel_file" TEXT, FOREIGN KEY ("run_id") REFERENCES "run" ("id"), FOREIGN KEY ("model_id") REFERENCES "model" ("id"), FOREIGN KEY ("benchmark_id") REFERENCES "benchmark" ("id"), FOREIGN KEY ("dataset_id") REFERENCES "dataset" ("id"));
INSERT INTO result VALUES(1,1,1,1,1,'LAION_fMRI.V1-cka[subjects=sub-01+sub-03,dataset=tiny]','published',NULL);
INSERT INTO result VALUES(2,2,1,2,1,'LAION_fMRI.V1-ood-ridge[subjects=sub-01+sub-03,dataset=tiny]','published','result-000002-06f36771e3cf.h5');
CREATE TABLE IF NOT EXISTS "score" ("id" INTEGER NOT NULL PRIMARY KEY, "result_id" INTEGER NOT NULL, "parent_id" INTEGER, "level" TEXT NOT NULL, "position" INTEGER NOT NULL, "label" TEXT NOT NULL, "value" REAL NOT NULL, "error" REAL, "raw" REAL NOT NULL, "raw_error" REAL, "ceiling" REAL NOT NULL, "ceiling_error" REAL, "interval_low" REAL, "interval_high" REAL, "alpha" REAL, "n_train" INTEGER, "n_test" INTEGER, "n_neuroids" INTEGER, "n_features" INTEGER, "bootstrap_stimuli" TEXT, "details" TEXT NOT NULL, "raw_details" TEXT NOT NULL, "ceiling_details" TEXT NOT NULL, FOREIGN KEY ("result_id") REFERENCES "result" ("id"), FOREIGN KEY ("parent_id") REFERENCES "score" ("id"));
INSERT INTO score VALUES(1,1,NULL,'mean',0,'mean',1.5034685032094610157,0.9148960994828684301,0.051674659196513421377,0.031445250791801993006,0.034370297140381249334,6.956306463039095965e-18,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"comment": "simulated data: says nothing about brains", "error_over": ["subject"], "n_bootstrap": 200}','{"error_over": ["subject"], "n_bootstrap": 200}','{"error_over": ["subject"], "n_bootstrap": 200}');
INSERT INTO score VALUES(2,1,1,'subject',0,'sub-01',2.7642157640352009728,NULL,0.095006917170015844908,NULL,0.034370297140381249334,NULL,NULL,NULL,NULL,0,40,9,196608,NULL,'{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}');
INSERT INTO score VALUES(3,1,1,'subject',1,'sub-03',0.24272124238372122517,NULL,0.008342401223010997846,NULL,0.034370297140381249334,NULL,NULL,NULL,NULL,0,40,7,196608,NULL,'{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}');
INSERT INTO score VALUES(4,2,NULL,'mean',0,'mean',0.0046418451566362694052,0.0025860900110075972675,0.051148036156085721626,0.017413603056169676269,0.68596443719439037511,0.001589328869355797081,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"comment": "simulated data: says nothing about brains", "error_over": ["subject"], "n_bootstrap": 200}','{"error_over": ["subject"], "n_bootstrap": 200}','{"error_over": ["subject"], "n_bootstrap": 200}');
INSERT INTO score VALUES(5,2,4,'subject',0,'sub-01',0.0010781553568114227679,NULL,0.027151702182663037254,NULL,0.68377430651209303302,NULL,1.6683649702277348979e-05,0.071569754591340031812,1.0,40,27,9,196608,'7f266a24317e4418','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}');
INSERT INTO score VALUES(6,2,4,'subject',1,'sub-03',0.0082055349564611156087,NULL,0.075144370129508405997,NULL,0.6881545678766877172,NULL,1.0160053237379034559e-05,0.068479019352436137912,1.0,40,27,7,196608,'7f266a24317e4418','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}');
CREATE TABLE IF NOT EXISTS "normalization" ("score_id" INTEGER NOT NULL, "name" TEXT NOT NULL, "value" REAL NOT NULL, PRIMARY KEY ("score_id", "name"), FOREIGN KEY ("score_id") REFERENCES "score" ("id"));
INSERT INTO normalization VALUES(1,'published',1.5034685032094610157);
INSERT INTO normalization VALUES(2,'published',2.7642157640352009728);
INSERT INTO normalization VALUES(3,'published',0.24272124238372122517);
INSERT INTO normalization VALUES(4,'published',0.0046418451566362694052);
INSERT INTO normalization VALUES(4,'explained_variance',0.013867221062182136931);
INSERT INTO normalization VALUES(4,'correlation',0.09449047355561293604);
INSERT INTO normalization VALUES(5,'published',0.0010781553568114227679);
INSERT INTO normalization VALUES(5,'explained_variance',0.003255882521868615903);
INSERT INTO normalization VALUES(5,'correlation',0.086504072658489167269);
INSERT INTO normalization VALUES(6,'published',0.0082055349564611156087);
INSERT INTO normalization VALUES(6,'explained_variance',0.024478559602495657959);
INSERT INTO normalization VALUES(6,'correlation',0.10247687445273670481);
CREATE TABLE IF NOT EXISTS "schema" ("version" INTEGER NOT NULL PRIMARY KEY, "created" TEXT NOT NULL);
INSERT INTO schema VALUES(1,'2026-11-26T14:40:42.148924+00:00');
CREATE UNIQUE INDEX "benchmark_identifier_version" ON "benchmark" ("identifier", "version");
CREATE UNIQUE INDEX "dataset_fingerprint_description" ON "dataset" ("fingerprint", "description");
CREATE UNIQUE INDEX "failure_run_id" ON "failure" ("run_id");
CREATE UNIQUE INDEX "model_identifier_requested_revision" ON "model" ("identifier", "requested", "revision");
CREATE UNIQUE INDEX "result_run_id" ON "result" ("run_id");
CREATE INDEX "result_model_id" ON "result" ("model_id");
CREATE INDEX "result_benchmark_id" ON "result" ("benchmark_id");
CREATE INDEX "result_dataset_id" ON "result" ("dataset_id");
CREATE INDEX "score_result_id" ON "score" ("result_id");
CREATE INDEX "score_parent_id" ON "score" ("parent_id");
CREATE INDEX "normalization_score_id" ON "normalization" ("score_id");
CREATE VIEW scores AS SELECT
    result.id AS result, model.identifier AS model, model.requested AS requested_model, model.revision AS model_revision,
    benchmark.identifier AS benchmark, benchmark.version AS benchmark_version, dataset.fingerprint AS dataset_fingerprint,
    dataset.is_simulated, result.normalization, score.level, parent.label AS fold, score.label, score.value, score.error,
    score.raw, score.raw_error, score.ceiling, score.ceiling_error, score.interval_low, score.interval_high, score.alpha,
    score.n_train, score.n_test, score.n_neuroids, score.n_features, run.started, run.seconds, run.peak_memory_bytes,
    run.machine
FROM score
JOIN result ON score.result_id = result.id
JOIN run ON result.run_id = run.id
JOIN model ON result.model_id = model.id
JOIN benchmark ON result.benchmark_id = benchmark.id
JOIN dataset ON result.dataset_id = dataset.id
LEFT JOIN score AS parent ON score.parent_id = parent.id AND parent.level = 'fold';
COMMIT;
