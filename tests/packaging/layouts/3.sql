CREATE TABLE counters (
    title BLOB, fingerprint TEXT, counter INTEGER, meter TEXT, source TEXT,
    PRIMARY KEY (title, fingerprint)) WITHOUT ROWID;
INSERT INTO "counters" VALUES(X'5341476770000001','6660e5f282e07b2e',217514376,'house','tcp://127.0.0.1:2001');
CREATE TABLE devices (
    meter TEXT, device TEXT, behind TEXT, channel INTEGER, medium TEXT, absent_since REAL,
    PRIMARY KEY (meter, device)) WITHOUT ROWID;
INSERT INTO "devices" VALUES('1SAG1100000002','7FLO2100000002','1SAG1100000002',1,'gas',NULL);
INSERT INTO "devices" VALUES('1SAG1100000002','8SAG1200000002','1SAG1100000002',2,'water',NULL);
INSERT INTO "devices" VALUES('house','GFLO2100000001','SAG1030700000001',1,'gas',NULL);
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
INSERT INTO "published" VALUES('homeassistant/device/smarty_smarty/config','status');
INSERT INTO "published" VALUES('smarty/1SAG1100000002/availability','1SAG1100000002');
INSERT INTO "published" VALUES('smarty/1SAG1100000002/health','1SAG1100000002');
INSERT INTO "published" VALUES('smarty/1SAG1100000002/mbus/7FLO2100000002','1SAG1100000002');
INSERT INTO "published" VALUES('smarty/1SAG1100000002/mbus/8SAG1200000002','1SAG1100000002');
INSERT INTO "published" VALUES('smarty/1SAG1100000002/state','1SAG1100000002');
INSERT INTO "published" VALUES('smarty/health','status');
INSERT INTO "published" VALUES('smarty/house/availability','house');
INSERT INTO "published" VALUES('smarty/house/health','house');
INSERT INTO "published" VALUES('smarty/house/mbus/GFLO2100000001','house');
INSERT INTO "published" VALUES('smarty/house/quarter','house');
INSERT INTO "published" VALUES('smarty/house/state','house');
INSERT INTO "published" VALUES('smarty/status','status');
CREATE TABLE put_aside (topic TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID;
CREATE TABLE resets (title BLOB PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE service (seconds REAL);
INSERT INTO "service" VALUES(1.57088530659966636444e+01);
CREATE TABLE undelivered (id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT, payload BLOB, stored REAL);
INSERT INTO "undelivered" VALUES(1,'smarty/1SAG1100000002/telegram',CAST('{"meter":"1SAG1100000002","meter_id":"1SAG1100000002","timestamp":"2026-11-22T13:40:15+01:00","security":"plaintext","header":"FLU5\\253000002_A","p1_version":"50217","equipment_id":"1SAG1100000002","energy_import_tariff_1":17679.6,"energy_import_tariff_2":6553.708,"energy_export_tariff_1":40558.742,"energy_export_tariff_2":381.111,"tariff":1,"demand_import":0.0,"peak_demand_month":{"value":3.033,"timestamp":"2026-11-01T21:00:00+01:00"},"peak_demand_history":[{"period_end":"2026-10-01T00:00:00+02:00","timestamp":"2026-09-01T22:00:00+02:00","value":3.033},{"period_end":"2026-11-01T00:00:00+01:00","timestamp":"2026-10-01T22:00:00+02:00","value":3.033}],"power_import":0.0,"power_export":1.14,"power_import_l1":0.0,"power_import_l2":0.0,"power_import_l3":0.0,"power_export_l1":0.367,"power_export_l2":0.384,"power_export_l3":0.389,"voltage_l1":230.9,"voltage_l2":231.4,"voltage_l3":231.9,"current_l1":1.6,"current_l2":1.67,"current_l3":1.69,"breaker_state":1,"message":"","gas":{"channel":1,"device_type":3,"id":"7FLO2100000002","value":9018.6,"unit":"m³","timestamp":"2026-11-22T13:40:07+01:00","valve_state":1},"water":{"channel":2,"device_type":7,"id":"8SAG1200000002","value":1093.174,"unit":"m³","timestamp":"2026-11-22T13:40:07+01:00"},"received":"2026-11-22T12:39:25.894+00:00"}' AS BLOB),1.56784221589914523069e+01);
INSERT INTO "undelivered" VALUES(2,'smarty/house/telegram',CAST('{"meter":"house","meter_id":"SAG1030700000001","system_title":"5341476770000001","timestamp":"2026-11-22T13:40:20+01:00","security":"authenticated","frame_counter":217514366,"header":"Lux5\\253000001_D","p1_version":"42","logical_device_name":"SAG1030700000001","energy_import":21665.388,"energy_export":33652.647,"reactive_energy_import":2708.173,"reactive_energy_export":2103.29,"power_import":0.0,"power_export":1.55,"reactive_power_import":0.0,"reactive_power_export":0.097,"apparent_power_threshold":27.6,"apparent_power_import":0.0,"apparent_power_export":1.553,"current_threshold_import":40,"current_threshold_export":-40,"breaker_state":1,"relay_1_state":0,"relay_2_state":0,"power_failures":4,"voltage_sags_l1":2,"voltage_sags_l2":1,"voltage_sags_l3":1,"voltage_swells_l1":0,"voltage_swells_l2":0,"voltage_swells_l3":0,"message":"","message_2":"","message_3":"","message_4":"","message_5":"","voltage_l1":231.1,"voltage_l2":231.6,"voltage_l3":232.1,"current_l1":2,"current_l2":2,"current_l3":2,"power_import_l1":0.0,"power_import_l2":0.0,"power_import_l3":0.0,"power_export_l1":0.521,"power_export_l2":0.5,"power_export_l3":0.529,"reactive_power_import_l1":0.0,"reactive_power_import_l2":0.0,"reactive_power_import_l3":0.0,"reactive_power_export_l1":0.033,"reactive_power_export_l2":0.031,"reactive_power_export_l3":0.033,"gas":{"channel":1,"device_type":3,"id":"GFLO2100000001","value":9145.963,"unit":"m³","timestamp":"2026-11-22T13:00:00+01:00","valve_state":1},"received":"2026-11-22T12:39:26.394+00:00"}' AS BLOB),1.56784221589914523069e+01);
INSERT INTO "undelivered" VALUES(4,'smarty/house/telegram',CAST('{"meter":"house","meter_id":"SAG1030700000001","system_title":"5341476770000001","timestamp":"2026-11-22T13:40:30+01:00","security":"authenticated","frame_counter":217514367,"header":"Lux5\\253000001_D","p1_version":"42","logical_device_name":"SAG1030700000001","energy_import":21665.388,"energy_export":33652.652,"reactive_energy_import":2708.173,"reactive_energy_export":2103.29,"power_import":0.0,"power_export":1.711,"reactive_power_import":0.0,"reactive_power_export":0.107,"apparent_power_threshold":27.6,"apparent_power_import":0.0,"apparent_power_export":1.714,"current_threshold_import":40,"current_threshold_export":-40,"breaker_state":1,"relay_1_state":0,"relay_2_state":0,"power_failures":4,"voltage_sags_l1":2,"voltage_sags_l2":1,"voltage_sags_l3":1,"voltage_swells_l1":0,"voltage_swells_l2":0,"voltage_swells_l3":0,"message":"","message_2":"","message_3":"","message_4":"","message_5":"","voltage_l1":231.1,"voltage_l2":231.6,"voltage_l3":232.1,"current_l1":3,"current_l2":2,"current_l3":3,"power_import_l1":0.0,"power_import_l2":0.0,"power_import_l3":0.0,"power_export_l1":0.575,"power_export_l2":0.552,"power_export_l3":0.584,"reactive_power_import_l1":0.0,"reactive_power_import_l2":0.0,"reactive_power_import_l3":0.0,"reactive_power_export_l1":0.036,"reactive_power_export_l2":0.035,"reactive_power_export_l3":0.036,"gas":{"channel":1,"device_type":3,"id":"GFLO2100000001","value":9145.963,"unit":"m³","timestamp":"2026-11-22T13:00:00+01:00","valve_state":1},"received":"2026-11-22T12:39:27.394+00:00"}' AS BLOB),1.56784221589914523069e+01);
CREATE TABLE unnamed (
    key TEXT PRIMARY KEY, name TEXT, source TEXT, is_authenticated INTEGER, heard REAL) WITHOUT ROWID;
INSERT INTO "unnamed" VALUES('id 1sag1100000002','1SAG1100000002','tcp://127.0.0.1:2002',0,1.51776729549892479558e+01);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('undelivered',22);
PRAGMA user_version=3;
