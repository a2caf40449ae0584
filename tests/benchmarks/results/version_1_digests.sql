PRAGMA foreign_keys=OFF;
BEGIN TRANSACTION;
CREATE TABLE IF NOT EXISTS "benchmark" ("id" INTEGER NOT NULL PRIMARY KEY, "identifier" TEXT NOT NULL, "version" INTEGER NOT NULL);
INSERT INTO benchmark VALUES(1,'LAION_fMRI.V1-ood-ridge[subjects=sub-01+sub-03]',1);
INSERT INTO benchmark VALUES(2,'LAION_fMRI.IT-rdm-pearson[subjects=sub-01+sub-03]',1);
INSERT INTO benchmark VALUES(3,'LAION_fMRI.IT-ood-ridge[subjects=sub-01+sub-03]',1);
CREATE TABLE IF NOT EXISTS "dataset" ("id" INTEGER NOT NULL PRIMARY KEY, "fingerprint" TEXT NOT NULL, "is_simulated" INTEGER NOT NULL, "description" TEXT NOT NULL);
INSERT INTO dataset VALUES(1,'b7f814a17133414e',1,'{"fingerprint": "b7f814a17133414e", "name": "/data/tiny", "root": "/data/tiny", "simulated": true, "subjects": ["sub-01", "sub-03", "sub-05", "sub-06", "sub-07"]}');
CREATE TABLE IF NOT EXISTS "run" ("id" INTEGER NOT NULL PRIMARY KEY, "started" TEXT NOT NULL, "seconds" REAL NOT NULL, "peak_memory_bytes" INTEGER NOT NULL, "machine" TEXT NOT NULL, "versions" TEXT NOT NULL);
INSERT INTO run VALUES(1,'2026-11-26T16:48:46.865656+00:00',9.919874999999999332,998563840,'somewhere','{"brainscore-core": "2.5.0", "brainscore-vision": "2.4.2", "laion-fmri-7t": "0.1.0", "numpy": "1.26.4", "python": "3.11.7", "torch": "2.14.1"}');
INSERT INTO run VALUES(2,'2026-11-26T16:48:56.785531+00:00',0.74907699999999999285,999116800,'somewhere','{"brainscore-core": "2.5.0", "brainscore-vision": "2.4.2", "laion-fmri-7t": "0.1.0", "numpy": "1.26.4", "python": "3.11.7", "torch": "2.14.1"}');
INSERT INTO run VALUES(3,'2026-11-26T16:48:57.534608+00:00',0.12202200000000000545,999243776,'somewhere','{"brainscore-core": "2.5.0", "brainscore-vision": "2.4.2", "laion-fmri-7t": "0.1.0", "numpy": "1.26.4", "python": "3.11.7", "torch": "2.14.1"}');
INSERT INTO run VALUES(4,'2026-11-26T16:49:06.930764+00:00',4.2922729999999997829,803139584,'somewhere','{"brainscore-core": "2.5.0", "brainscore-vision": "2.4.2", "laion-fmri-7t": "0.1.0", "numpy": "1.26.4", "python": "3.11.7", "torch": "2.14.1"}');
CREATE TABLE IF NOT EXISTS "failure" ("id" INTEGER NOT NULL PRIMARY KEY, "run_id" INTEGER NOT NULL, "requested_model" TEXT NOT NULL, "model_revision" TEXT, "benchmark" TEXT, "benchmark_version" INTEGER NOT NULL, "dataset_fingerprint" TEXT NOT NULL, "error" TEXT NOT NULL, "traceback" TEXT NOT NULL, FOREIGN KEY ("run_id") REFERENCES "run" ("id"));
INSERT INTO failure VALUES(1,4,'/models/model.py:broken','60973e21336650b7','LAION_fMRI.V1-ood-ridge',1,'b7f814a17133414e','RuntimeError: no weights','RuntimeError: no weights');
CREATE TABLE IF NOT EXISTS "model" ("id" INTEGER NOT NULL PRIMARY KEY, "identifier" TEXT NOT NULL, "requested" TEXT NOT NULL, "revision" TEXT NOT NULL);
INSERT INTO model VALUES(1,'net','/models/model.py:make','60973e21336650b7');
CREATE TABLE IF NOT EXISTS "result" ("id" INTEGER NOT NULL PRIMARY KEY, "run_id" INTEGER NOT NULL, "model_id" INTEGER NOT NULL, "benchmark_id" INTEGER NOT NULL, "dataset_id" INTEGER NOT NULL, "benchmark_as_scored" TEXT NOT NULL, "normalization" TEXT NOT NULL, "voxel_file" TEXT, FOREIGN KEY ("run_id") REFERENCES "run" ("id"), FOREIGN KEY ("model_id") REFERENCES "model" ("id"), FOREIGN KEY ("benchmark_id") REFERENCES "benchmark" ("id"), FOREIGN KEY ("dataset_id") REFERENCES "dataset" ("id"));
INSERT INTO result VALUES(1,1,1,1,1,'LAION_fMRI.V1-ood-ridge[subjects=sub-01+sub-03,dataset=tiny]','published','result-000001-5ec005814922.h5');
INSERT INTO result VALUES(2,2,1,2,1,'LAION_fMRI.IT-rdm-pearson[subjects=sub-01+sub-03,dataset=tiny]','published','result-000002-52b11606c3b3.h5');
INSERT INTO result VALUES(3,3,1,3,1,'LAION_fMRI.IT-ood-ridge[subjects=sub-01+sub-03,dataset=tiny]','published','result-000003-d4b5de830cc2.h5');
CREATE TABLE IF NOT EXISTS "score" ("id" INTEGER NOT NULL PRIMARY KEY, "result_id" INTEGER NOT NULL, "parent_id" INTEGER, "level" TEXT NOT NULL, "position" INTEGER NOT NULL, "label" TEXT NOT NULL, "value" REAL NOT NULL, "error" REAL, "raw" REAL NOT NULL, "raw_error" REAL, "ceiling" REAL NOT NULL, "ceiling_error" REAL, "interval_low" REAL, "interval_high" REAL, "alpha" REAL, "n_train" INTEGER, "n_test" INTEGER, "n_neuroids" INTEGER, "n_features" INTEGER, "bootstrap_stimuli" TEXT, "details" TEXT NOT NULL, "raw_details" TEXT NOT NULL, "ceiling_details" TEXT NOT NULL, FOREIGN KEY ("result_id") REFERENCES "result" ("id"), FOREIGN KEY ("parent_id") REFERENCES "score" ("id"));
INSERT INTO score VALUES(1,1,NULL,'mean',0,'mean',0.0019012483152866640947,0.00053897932990059585923,0.0071418507787670126168,0.025672543099722996279,0.68596443719439037511,0.001589328869355797081,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"comment": "simulated data: says nothing about brains", "error_over": ["subject"], "features_digest": "2a228722705b6a04", "n_bootstrap": 200, "network_digest": "71942fcc999315f8"}','{"error_over": ["subject"], "n_bootstrap": 200}','{"error_over": ["subject"], "n_bootstrap": 200}');
INSERT INTO score VALUES(2,1,1,'subject',0,'sub-01',0.0026439738708967010921,NULL,0.042519188609479438567,NULL,0.68377430651209303302,NULL,3.8351923283416028929e-05,0.104576133795817372,1.0,40,27,9,1536,'4c5137789336eb2f','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli", "features_digest": "2a228722705b6a04"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}');
INSERT INTO score VALUES(3,1,1,'subject',1,'sub-03',0.0011585227596766270972,NULL,-0.028235487051945413333,NULL,0.6881545678766877172,NULL,1.8084069095186019039e-05,0.080103303221742278017,1.0,40,27,7,1536,'4c5137789336eb2f','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli", "features_digest": "2a228722705b6a04"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}');
INSERT INTO score VALUES(4,2,NULL,'mean',0,'mean',0.15605039208383431059,0.036302088453011915891,0.11712349195941379464,0.026909846940217353045,0.75161133752481090741,0.0024044432819710389974,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"comment": "simulated data: says nothing about brains", "error_over": ["subject"], "features_digest": "184492ed8d9a85bf", "n_bootstrap": 200, "network_digest": "71942fcc999315f8"}','{"error_over": ["subject"], "n_bootstrap": 200}','{"error_over": ["subject"], "n_bootstrap": 200, "nili_lower": {"sub-01": 0.12265672818204956, "sub-03": 0.12265672818204956}, "nili_upper": {"sub-01": 0.7417805188548573, "sub-03": 0.747522787844499}, "split_half_reliability": {"sub-01": 0.2958812041175138, "sub-03": 0.3764191678266233}}');
INSERT INTO score VALUES(5,2,4,'subject',0,'sub-01',0.10602530332757220676,NULL,0.080041121799244330237,NULL,0.75492471407463912491,NULL,-0.051894623381131974038,0.28505805295659769615,NULL,0,40,11,96,'5d90f6b369a72417','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli", "features_digest": "184492ed8d9a85bf"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}');
INSERT INTO score VALUES(6,2,4,'subject',1,'sub-03',0.20607548084009641442,NULL,0.15420586211958325906,NULL,0.74829796097498268991,NULL,0.0073512767180349573511,0.4352259443883717549,NULL,0,40,13,96,'5d90f6b369a72417','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli", "features_digest": "184492ed8d9a85bf"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}');
INSERT INTO score VALUES(7,3,NULL,'mean',0,'mean',0.030268974449072973825,0.016607812719014573149,0.13720720797411384284,0.045354259247238785934,0.75313536287319171602,0.0020505649001733156078,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,'{"comment": "simulated data: says nothing about brains", "error_over": ["subject"], "features_digest": "184492ed8d9a85bf", "n_bootstrap": 200, "network_digest": "71942fcc999315f8"}','{"error_over": ["subject"], "n_bootstrap": 200}','{"error_over": ["subject"], "n_bootstrap": 200}');
INSERT INTO score VALUES(8,3,7,'subject',0,'sub-01',0.0073830375589282407761,NULL,0.074708025667995031637,NULL,0.7559610871084356809,NULL,0.00011956014578145483361,0.12591247926880602681,1.0,40,27,11,96,'4c5137789336eb2f','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli", "features_digest": "184492ed8d9a85bf"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}');
INSERT INTO score VALUES(9,3,7,'subject',1,'sub-03',0.05315491133921770861,NULL,0.19970639028023262628,NULL,0.75030963863794775114,NULL,0.00024080046699347139793,0.13153508733769730953,1.0,40,27,13,96,'4c5137789336eb2f','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli", "features_digest": "184492ed8d9a85bf"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}','{"error_nan_reason": "one subject''s aggregate over neuroids; see interval for resampled stimuli"}');
CREATE TABLE IF NOT EXISTS "normalization" ("score_id" INTEGER NOT NULL, "name" TEXT NOT NULL, "value" REAL NOT NULL, PRIMARY KEY ("score_id", "name"), FOREIGN KEY ("score_id") REFERENCES "score" ("id"));
INSERT INTO normalization VALUES(1,'published',0.0019012483152866640947);
INSERT INTO normalization VALUES(1,'explained_variance',0.0031373101484330205741);
INSERT INTO normalization VALUES(1,'correlation',0.066613276094454998421);
INSERT INTO normalization VALUES(2,'published',0.0026439738708967010921);
INSERT INTO normalization VALUES(2,'explained_variance',0.0080080802131582279335);
INSERT INTO normalization VALUES(2,'correlation',0.19494439370158614388);
INSERT INTO normalization VALUES(3,'published',0.0011585227596766270972);
INSERT INTO normalization VALUES(3,'explained_variance',-0.0017334599162921865683);
INSERT INTO normalization VALUES(3,'correlation',-0.061717841512676160919);
INSERT INTO normalization VALUES(4,'published',0.15605039208383431059);
INSERT INTO normalization VALUES(5,'published',0.10602530332757220676);
INSERT INTO normalization VALUES(6,'published',0.20607548084009641442);
INSERT INTO normalization VALUES(7,'published',0.030268974449072973825);
INSERT INTO normalization VALUES(7,'explained_variance',0.10050717176241129313);
INSERT INTO normalization VALUES(7,'correlation',0.18918799341249328826);
INSERT INTO normalization VALUES(8,'published',0.0073830375589282407761);
INSERT INTO normalization VALUES(8,'explained_variance',0.027867407070418275666);
INSERT INTO normalization VALUES(8,'correlation',0.18300995632084626763);
INSERT INTO normalization VALUES(9,'published',0.05315491133921770861);
INSERT INTO normalization VALUES(9,'explained_variance',0.17314693645440432101);
INSERT INTO normalization VALUES(9,'correlation',0.1953660305041403089);
CREATE TABLE IF NOT EXISTS "schema" ("version" INTEGER NOT NULL PRIMARY KEY, "created" TEXT NOT NULL);
INSERT INTO schema VALUES(1,'2026-11-26T16:48:46.817972+00:00');
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
    run.machine, json_extract(whole.details, '$.network_digest') AS network_digest,
    json_extract(score.details, '$.features_digest') AS features_digest, json_extract(score.details, '$.notes') AS notes
FROM score
JOIN result ON score.result_id = result.id
JOIN run ON result.run_id = run.id
JOIN model ON result.model_id = model.id
JOIN benchmark ON result.benchmark_id = benchmark.id
JOIN dataset ON result.dataset_id = dataset.id
JOIN score AS whole ON whole.result_id = result.id AND whole.level = 'mean'
LEFT JOIN score AS parent ON score.parent_id = parent.id AND parent.level = 'fold';
COMMIT;
