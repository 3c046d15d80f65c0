CREATE TABLE counters (
    title BLOB, fingerprint TEXT, counter INTEGER, meter TEXT, source TEXT,
    PRIMARY KEY (title, fingerprint)) WITHOUT ROWID;
INSERT INTO "counters" VALUES(X'5341476770000001','6660e5f282e07b2e',217514547,'house','tcp://127.0.0.1:2001');
CREATE TABLE holders (
    name TEXT PRIMARY KEY, holder TEXT, is_authenticated INTEGER, second TEXT) WITHOUT ROWID;
INSERT INTO "holders" VALUES('house','5341476770000001',1,NULL);
CREATE TABLE identities (identity TEXT PRIMARY KEY, owner) WITHOUT ROWID;
INSERT INTO "identities" VALUES('sag1030700000001',X'5341476770000001');
CREATE TABLE published (topic TEXT PRIMARY KEY, meter TEXT) WITHOUT ROWID;
INSERT INTO "published" VALUES('homeassistant/device/smarty_1SAG1100000002/config','1SAG1100000002');
INSERT INTO "published" VALUES('homeassistant/device/smarty_7FLO2100000002/config','1SAG1100000002');
INSERT INTO "published" VALUES('homeassistant/device/smarty_8SAG1200000002/config','1SAG1100000002');
INSERT INTO "published" VALUES('homeassistant/device/smarty_GFLO2100000001/config','house');
INSERT INTO "published" VALUES('homeassistant/device/smarty_SAG1030700000001/config','house');
INSERT INTO "published" VALUES('homeassistant/device/smarty_smarty/config','/');
INSERT INTO "published" VALUES('smarty/1SAG1100000002/availability','1SAG1100000002');
INSERT INTO "published" VALUES('smarty/1SAG1100000002/health','1SAG1100000002');
INSERT INTO "published" VALUES('smarty/1SAG1100000002/mbus/7FLO2100000002','1SAG1100000002');
INSERT INTO "published" VALUES('smarty/1SAG1100000002/mbus/8SAG1200000002','1SAG1100000002');
INSERT INTO "published" VALUES('smarty/1SAG1100000002/state','1SAG1100000002');
INSERT INTO "published" VALUES('smarty/house/availability','house');
INSERT INTO "published" VALUES('smarty/house/health','house');
INSERT INTO "published" VALUES('smarty/house/mbus/GFLO2100000001','house');
INSERT INTO "published" VALUES('smarty/house/state','house');
CREATE TABLE put_aside (topic TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID;
CREATE TABLE resets (title BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE service (seconds REAL);
INSERT INTO "service" VALUES(1.57892010100040351976e+01);
CREATE TABLE undelivered (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, payload BLOB, stored REAL);
INSERT INTO "undelivered" VALUES(1,'smarty/1SAG1100000002/telegram',CAST('{"meter":"1SAG1100000002","meter_id":"1SAG1100000002","timestamp":"2026-11-22T13:40:42+01:00","security":"plaintext","header":"FLU5\\253000002_A","p1_version":"50217","equipment_id":"1SAG1100000002","energy_import_tariff_1":17679.6,"energy_import_tariff_2":6553.708,"energy_export_tariff_1":40558.751,"energy_export_tariff_2":381.111,"tariff":1,"demand_import":0.0,"peak_demand_month":{"value":3.033,"timestamp":"2026-11-01T21:00:00+01:00"},"peak_demand_history":[{"period_end":"2026-10-01T00:00:00+02:00","timestamp":"2026-09-01T22:00:00+02:00","value":3.033},{"period_end":"2026-11-01T00:00:00+01:00","timestamp":"2026-10-01T22:00:00+02:00","value":3.033}],"power_import":0.0,"power_export":1.085,"power_import_l1":0.0,"power_import_l2":0.0,"power_import_l3":0.0,"power_export_l1":0.35,"power_export_l2":0.365,"power_export_l3":0.37,"voltage_l1":230.9,"voltage_l2":231.4,"voltage_l3":231.9,"current_l1":1.53,"current_l2":1.59,"current_l3":1.61,"breaker_state":1,"message":"","gas":{"channel":1,"device_type":3,"id":"7FLO2100000002","value":9018.6,"unit":"m³","timestamp":"2026-11-22T13:40:07+01:00","valve_state":1},"water":{"channel":2,"device_type":7,"id":"8SAG1200000002","value":1093.174,"unit":"m³","timestamp":"2026-11-22T13:40:07+01:00"},"received":"2026-11-22T12:39:52.807+00:00"}' AS BLOB),1.57564846270106500018e+01);
INSERT INTO "undelivered" VALUES(2,'smarty/house/telegram',CAST('{"meter":"house","meter_id":"SAG1030700000001","system_title":"5341476770000001","timestamp":"2026-11-22T13:40:47+01:00","security":"authenticated","frame_counter":217514447,"header":"Lux5\\253000001_D","p1_version":"42","logical_device_name":"SAG1030700000001","energy_import":21665.388,"energy_export":33652.659,"reactive_energy_import":2708.173,"reactive_energy_export":2103.291,"power_import":0.0,"power_export":1.678,"reactive_power_import":0.0,"reactive_power_export":0.105,"apparent_power_threshold":27.6,"apparent_power_import":0.0,"apparent_power_export":1.681,"current_threshold_import":40,"current_threshold_export":-40,"breaker_state":1,"relay_1_state":0,"relay_2_state":0,"power_failures":4,"voltage_sags_l1":2,"voltage_sags_l2":1,"voltage_sags_l3":1,"voltage_swells_l1":0,"voltage_swells_l2":0,"voltage_swells_l3":0,"message":"","message_2":"","message_3":"","message_4":"","message_5":"","voltage_l1":231.1,"voltage_l2":231.6,"voltage_l3":232.1,"current_l1":2,"current_l2":2,"current_l3":2,"power_import_l1":0.0,"power_import_l2":0.0,"power_import_l3":0.0,"power_export_l1":0.564,"power_export_l2":0.541,"power_export_l3":0.573,"reactive_power_import_l1":0.0,"reactive_power_import_l2":0.0,"reactive_power_import_l3":0.0,"reactive_power_export_l1":0.035,"reactive_power_export_l2":0.034,"reactive_power_export_l3":0.036,"gas":{"channel":1,"device_type":3,"id":"GFLO2100000001","value":9145.963,"unit":"m³","timestamp":"2026-11-22T13:00:00+01:00","valve_state":1},"received":"2026-11-22T12:39:53.306+00:00"}' AS BLOB),1.57564846270106500018e+01);
INSERT INTO "undelivered" VALUES(4,'smarty/house/telegram',CAST('{"meter":"house","meter_id":"SAG1030700000001","system_title":"5341476770000001","timestamp":"2026-11-22T13:40:57+01:00","security":"authenticated","frame_counter":217514457,"header":"Lux5\\253000001_D","p1_version":"42","logical_device_name":"SAG1030700000001","energy_import":21665.388,"energy_export":33652.664,"reactive_energy_import":2708.173,"reactive_energy_export":2103.291,"power_import":0.0,"power_export":1.693,"reactive_power_import":0.0,"reactive_power_export":0.106,"apparent_power_threshold":27.6,"apparent_power_import":0.0,"apparent_power_export":1.696,"current_threshold_import":40,"current_threshold_export":-40,"breaker_state":1,"relay_1_state":0,"relay_2_state":0,"power_failures":4,"voltage_sags_l1":2,"voltage_sags_l2":1,"voltage_sags_l3":1,"voltage_swells_l1":0,"voltage_swells_l2":0,"voltage_swells_l3":0,"message":"","message_2":"","message_3":"","message_4":"","message_5":"","voltage_l1":231.1,"voltage_l2":231.6,"voltage_l3":232.1,"current_l1":2,"current_l2":2,"current_l3":3,"power_import_l1":0.0,"power_import_l2":0.0,"power_import_l3":0.0,"power_export_l1":0.569,"power_export_l2":0.546,"power_export_l3":0.578,"reactive_power_import_l1":0.0,"reactive_power_import_l2":0.0,"reactive_power_import_l3":0.0,"reactive_power_export_l1":0.036,"reactive_power_export_l2":0.034,"reactive_power_export_l3":0.036,"gas":{"channel":1,"device_type":3,"id":"GFLO2100000001","value":9145.963,"unit":"m³","timestamp":"2026-11-22T13:00:00+01:00","valve_state":1},"received":"2026-11-22T12:39:54.307+00:00"}' AS BLOB),1.57564846270106500018e+01);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('undelivered',22);
PRAGMA user_version=2;
