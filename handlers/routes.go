package handlers

import (
	"errors"
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"

	"novacron/auth"
	"novacron/auth/access"
	"novacron/views/live"
)

// route is one line of the table: who may, and what then happens.
type route struct {
	method, path string
	perm         access.Permission
	h            echo.HandlerFunc
}

// table is every page and action of the site. The API's operations are in handlers/api and have their permissions there.
func (s *server) table() []route {
	const get, post = http.MethodGet, http.MethodPost
	return []route{
		{get, live.SignIn, access.Public, s.signInPage},
		{post, live.SignIn, access.Public, s.signIn},
		{get, live.SignInCode, access.Public, s.codePage},
		{post, live.SignInCode, access.Public, s.checkCode},
		{post, live.SignOut, access.Public, s.signOut},
		{post, live.PasskeyAsk, access.Public, s.passkeyAsk},
		{post, live.SignInPasskey, access.Public, s.signInPasskey},
		{get, live.PatSSO, access.Public, s.ssoBegin},
		{get, live.PatSSOBack, access.Public, s.ssoBack},
		{get, live.Forgot, access.Public, s.forgotPage},
		{post, live.Forgot, access.Public, s.forgotSend},
		{get, live.PatInvite, access.Public, s.invitePage},
		{post, live.PatInvite, access.Public, s.inviteAccept},
		{get, live.Password, access.AccountSelf, s.passwordPage},
		{post, live.Password, access.AccountSelf, s.changeForcedPassword},
		{get, live.PatStatic, access.Public, s.serveStatic},
		{http.MethodHead, live.PatStatic, access.Public, s.serveStatic},
		{get, "/favicon.ico", access.Public, s.favicon},
		{get, "/robots.txt", access.Public, s.robots},
		{get, "/healthz", access.Public, s.healthz},
		{get, "/readyz", access.Public, s.readyz},
		{http.MethodHead, "/healthz", access.Public, s.healthz},
		{http.MethodHead, "/readyz", access.Public, s.readyz},

		{get, live.Home, access.VMRead, s.kept(s.overview)},
		{get, live.Search, access.VMRead, s.search},
		{get, live.Live, access.EventRead, s.live},
		{get, live.PatTreeHost, access.VMRead, s.treeHost},
		{get, live.TreePools, access.PoolRead, s.treePoolsPart},

		{get, live.VMs, access.VMRead, s.kept(s.vmList)},
		{post, live.VMs, access.VMCreate, s.vmCreate},
		{get, live.VMNew, access.VMCreate, s.vmNew},
		{post, live.VMNew, access.VMCreate, s.vmNew},
		{post, live.VMNewPreview, access.VMCreate, s.firstBootShow},
		{post, live.VMDemo, access.VMCreate, s.vmDemo},
		{post, live.VMBulk, access.VMPower, s.vmBulk},
		{get, live.PatVM, access.VMRead, s.vmPage},
		{get, live.PatVMTab, access.VMRead, s.vmPage},
		{get, live.PatVMAction, access.VMPower, s.vmAsk},
		{post, live.PatVMAction, access.VMPower, s.vmAct},
		{post, live.PatVMEdit, access.VMEdit, s.vmEdit},
		{post, live.PatVMRevert, access.VMEdit, s.vmRevert},
		{post, live.PatVMDescribe, access.VMEdit, s.vmDescribe},
		{get, live.PatVMRename, access.VMEdit, s.vmRenamePage},
		{post, live.PatVMRename, access.VMEdit, s.vmRename},
		{get, live.PatVMClone, access.VMCreate, s.vmClonePage},
		{post, live.PatVMClone, access.VMCreate, s.vmClone},
		{get, live.PatVMDelete, access.VMDelete, s.vmDeletePage},
		{post, live.PatVMDelete, access.VMDelete, s.vmDelete},
		{get, live.PatSnapshotNew, access.VMSnapshot, s.snapshotNew},
		{post, live.PatSnapshotNew, access.VMSnapshot, s.snapshotTake},
		{get, live.PatSnapshotBulk, access.VMSnapshot, s.snapshotBulkDialog},
		{post, live.PatSnapshotBulk, access.VMSnapshot, s.snapshotBulk},
		{get, live.PatSnapshotAct, access.VMSnapshot, s.snapshotDialog},
		{post, live.PatSnapshotAct, access.VMSnapshot, s.snapshotAct},
		{get, live.Schedules, access.VMRead, s.scheduleList},
		{post, live.Schedules, access.VMSnapshot, s.scheduleSave},
		{get, live.ScheduleNew, access.VMSnapshot, s.scheduleForm},
		{get, live.PatSchedule, access.VMSnapshot, s.scheduleForm},
		{post, live.PatSchedule, access.VMSnapshot, s.scheduleSave},
		{get, live.PatScheduleAct, access.VMSnapshot, s.scheduleAsk},
		{post, live.PatScheduleAct, access.VMSnapshot, s.scheduleAct},
		{post, live.PatGuestExec, access.GuestExec, s.guestExec},
		{post, live.PatGuestProcesses, access.GuestExec, s.guestProcesses},
		{get, live.PatGuestAct, access.GuestManage, s.guestDialog},
		{post, live.PatGuestAct, access.GuestManage, s.guestAct},
		{get, live.PatCloudInit, access.GuestManage, s.cloudInitPage},
		{post, live.PatCloudInit, access.GuestManage, s.cloudInitSave},
		{post, live.PatCloudInitShow, access.GuestManage, s.cloudInitShow},
		{get, live.PatVMScreenshot, access.VMConsole, s.screenshot},
		{post, live.PatVMTicket, access.VMConsole, s.consoleTicket},
		{get, live.PatConsole, access.VMConsole, s.consolePage},
		{get, live.PatConsoleWS, access.VMConsole, s.consoleSocket},

		{get, live.Hosts, access.HostRead, s.kept(s.hostList)},
		{post, live.Hosts, access.HostAdd, s.hostAdd},
		{get, live.HostNew, access.HostAdd, s.hostNew},
		{post, live.HostTry, access.HostAdd, s.hostTry},
		{get, live.CommonCPU, access.HostRead, s.commonCPU},
		{post, live.CommonCPU, access.HostRead, s.findCommonCPU},
		{get, live.PatHost, access.HostRead, s.kept(s.hostPage)},
		{get, live.PatHostTab, access.HostRead, s.kept(s.hostPage)},
		{get, live.PatHostEdit, access.HostEdit, s.hostEditPage},
		{post, live.PatHostEdit, access.HostEdit, s.hostEdit},
		{post, live.PatHostMaint, access.HostEdit, s.hostMaintenance},
		{post, live.PatHostRetry, access.HostEdit, s.hostReconnect},
		{get, live.PatHostRemove, access.HostRemove, s.hostRemovePage},
		{post, live.PatHostRemove, access.HostRemove, s.hostRemove},

		{get, live.Storage, access.PoolRead, s.kept(s.poolList)},
		{post, live.Pools, access.PoolManage, s.poolCreate},
		{get, live.PoolNew, access.PoolManage, s.poolNew},
		{get, live.PatPool, access.PoolRead, s.kept(s.poolPage)},
		{get, live.PatPoolAct, access.PoolManage, s.poolAsk},
		{post, live.PatPoolAct, access.PoolManage, s.poolAct},
		{get, live.StorageVolumes, access.VolumeRead, s.kept(s.volumeList)},
		{post, live.StorageVolumes, access.VolumeManage, s.volumeCreate},
		{get, live.VolumeNew, access.VolumeManage, s.volumeNew},
		{get, live.VolumeUpload, access.VolumeContent, s.volumeUploadPage},
		{get, live.VolumeBulk, access.VolumeManage, s.volumeBulkAsk},
		{post, live.VolumeBulk, access.VolumeManage, s.volumeBulk},
		{get, live.PatVolume, access.VolumeRead, s.kept(s.volumePage)},
		{get, live.PatContent, access.VolumeContent, s.contentGet},
		{http.MethodHead, live.PatContent, access.VolumeRead, s.contentHead},
		{http.MethodPut, live.PatContent, access.VolumeContent, s.contentPut},
		{get, live.PatVolumeAct, access.VolumeRead, s.volumeAsk},
		{post, live.PatVolumeAct, access.VolumeRead, s.volumeAct},

		{get, live.Devices, access.HostRead, s.kept(s.deviceList)},
		{get, live.PatDeviceAttach, access.VMEdit, s.deviceAsk},
		{post, live.PatDeviceAttach, access.VMEdit, s.deviceAttach},
		{get, live.PatDisk, access.VMEdit, s.diskDialog},
		{post, live.PatDisk, access.VMEdit, s.diskAct},

		{get, live.PatVMMigrate, access.VMMigrate, s.vmMovePage},
		{post, live.PatVMMigrate, access.VMMigrate, s.vmMove},
		{get, live.PatHostEvacuate, access.HostMaintain, s.hostEvacuatePage},
		{post, live.PatHostEvacuate, access.HostMaintain, s.hostEvacuate},
		{post, live.PatHostReturn, access.HostMaintain, s.hostReturn},
		{get, live.Migrations, access.JobRead, s.migrationList},
		{get, live.MigrationPolicies, access.HostMaintain, s.policyList},
		{get, live.PatMigrationRule, access.HostMaintain, s.policyPage},
		{post, live.PatMigrationRule, access.HostMaintain, s.policySave},
		{get, live.PatMigrationTune, access.VMMigrate, s.tunePage},
		{post, live.PatMigrationTune, access.VMMigrate, s.tune},

		{get, live.Drift, access.HostMaintain, s.driftList},
		{post, live.PatDriftAct, access.VMEdit, s.driftAct},
		{get, live.Plans, access.HostMaintain, s.planList},
		{post, live.Plans, access.HostMaintain, s.planMake},
		{get, live.PlanNew, access.HostMaintain, s.planNew},
		{get, live.PatPlan, access.HostMaintain, s.planPage},
		{get, live.PatPlanEdit, access.HostMaintain, s.planEditPage},
		{post, live.PatPlanEdit, access.HostMaintain, s.planEdit},
		{get, live.PatPlanAct, access.HostMaintain, s.planAsk},
		{post, live.PatPlanAct, access.HostMaintain, s.planAct},
		{get, live.Rules, access.AffinityRead, s.ruleList},
		{post, live.Rules, access.AffinityManage, s.ruleSave},
		{get, live.RuleNew, access.AffinityManage, s.ruleForm},
		{get, live.PatRule, access.AffinityManage, s.ruleForm},
		{post, live.PatRule, access.AffinityManage, s.ruleSave},
		{get, live.PatRuleDel, access.AffinityManage, s.ruleAsk},
		{post, live.PatRuleDel, access.AffinityManage, s.ruleDelete},

		{get, live.Images, access.ImageRead, s.kept(s.imageList)},
		{post, live.Images, access.ImageManage, s.imageCreate},
		{get, live.ImageNew, access.ImageManage, s.imageNew},
		{get, live.ImageCopies, access.ImageRead, s.imageCopies},
		{post, live.ImageCopies, access.ImageManage, s.imageCollect},
		{post, live.ImagePolicy, access.ImageManage, s.imagePolicy},
		{get, live.PatImage, access.ImageRead, s.imagePage},
		{get, live.PatImageEdit, access.ImageManage, s.imageAsk},
		{post, live.PatImageEdit, access.ImageManage, s.imageEdit},
		{get, live.PatImageDelete, access.ImageManage, s.imageAsk},
		{post, live.PatImageDelete, access.ImageManage, s.imageDelete},
		{get, live.PatImageVersion, access.ImageRead, s.imagePage},
		{get, live.PatImageContent, access.ImageRead, s.imageDownload},
		{http.MethodHead, live.PatImageContent, access.ImageManage, s.imageUploadState},
		{http.MethodPut, live.PatImageContent, access.ImageManage, s.imageUpload},
		{get, live.PatImageAct, access.ImageManage, s.imageAsk},
		{post, live.PatImageAct, access.ImageManage, s.imageAct},
		{get, live.Templates, access.TemplateRead, s.kept(s.templateList)},
		{post, live.Templates, access.TemplateManage, s.templateWrite},
		{get, live.TemplateNew, access.TemplateManage, s.templateForm},
		{get, live.PatTemplate, access.TemplateRead, s.templatePage},
		{get, live.PatTemplateNext, access.TemplateManage, s.templateForm},
		{post, live.PatTemplateNext, access.TemplateManage, s.templateWrite},
		{post, live.PatTemplateAct, access.TemplateManage, s.templateAct},
		{get, live.PatTemplateEdit, access.TemplateManage, s.templateAsk},
		{post, live.PatTemplateEdit, access.TemplateManage, s.templateDescribe},
		{get, live.PatTemplateDel, access.TemplateManage, s.templateAsk},
		{post, live.PatTemplateDel, access.TemplateManage, s.templateDelete},
		{get, live.PatTemplateUse, access.VMCreate, s.templateUse},
		{post, live.PatTemplateUse, access.VMCreate, s.templateMake},
		{get, live.PatRollout, access.TemplateManage, s.rolloutPage},
		{post, live.PatRollout, access.TemplateManage, s.rolloutStart},
		{get, live.PatVMTemplate, access.TemplateManage, s.vmTemplatePage},
		{post, live.PatVMTemplate, access.TemplateManage, s.vmTemplate},
		{post, live.PatVMPin, access.VMEdit, s.vmPin},
		{get, live.Networks, access.NetworkRead, s.kept(s.networkList)},
		{post, live.Networks, access.NetworkManage, s.networkCreate},
		{get, live.NetworkNew, access.NetworkManage, s.networkNew},
		{get, live.Topology, access.NetworkRead, s.kept(s.topologyPage)},
		{get, live.PatNetwork, access.NetworkRead, s.kept(s.networkPage)},
		{get, live.PatNetworkEdit, access.NetworkManage, s.networkEditPage},
		{post, live.PatNetworkEdit, access.NetworkManage, s.networkEdit},
		{get, live.PatNetworkAct, access.NetworkManage, s.networkAsk},
		{post, live.PatNetworkAct, access.NetworkManage, s.networkAct},
		{post, live.PatVMNICs, access.VMEdit, s.nicAttach},
		{post, live.PatVMNIC, access.VMEdit, s.nicEdit},
		{get, live.PatVMNICAct, access.VMEdit, s.nicAsk},
		{post, live.PatVMNICAct, access.VMEdit, s.nicAct},
		{get, live.SecGroups, access.NetworkRead, s.kept(s.secGroupList)},
		{get, live.SecGroupNew, access.SecGroupManage, s.secGroupForm},
		{post, live.SecGroupNew, access.SecGroupManage, s.secGroupSave},
		{get, live.PatSecGroup, access.NetworkRead, s.kept(s.secGroupPage)},
		{get, live.PatSecGroupEdit, access.SecGroupManage, s.secGroupForm},
		{post, live.PatSecGroupEdit, access.SecGroupManage, s.secGroupSave},
		{get, live.PatSecGroupDel, access.SecGroupManage, s.secGroupAsk},
		{post, live.PatSecGroupDel, access.SecGroupManage, s.secGroupDelete},

		{get, live.Compare, access.VMRead, s.kept(s.compare)},
		{get, live.ChartCSV, access.VMRead, s.chartCSV},
		{get, live.Alerts, access.AlertRead, s.kept(s.alertList)},
		{get, live.AlertRules, access.AlertRead, s.alertRuleList},
		{post, live.AlertRules, access.AlertManage, s.alertRuleSave},
		{get, live.AlertRuleNew, access.AlertManage, s.alertRuleForm},
		{get, live.AlertImport, access.AlertManage, s.alertImportForm},
		{post, live.AlertImport, access.AlertManage, s.alertImport},
		{get, live.AlertExport, access.AlertRead, s.alertExport},
		{get, live.PatAlertRule, access.AlertRead, s.alertRuleForm},
		{post, live.PatAlertRule, access.AlertManage, s.alertRuleSave},
		{get, live.PatAlertRuleDo, access.AlertManage, s.alertRuleAsk},
		{post, live.PatAlertRuleDo, access.AlertManage, s.alertRuleDelete},
		{get, live.Silences, access.AlertRead, s.silenceList},
		{post, live.Silences, access.AlertHandle, s.silenceMake},
		{get, live.SilenceNew, access.AlertHandle, s.silenceNew},
		{post, live.PatSilenceEnd, access.AlertHandle, s.silenceEnd},
		{get, live.Receivers, access.AlertRead, s.receiverList},
		{post, live.Receivers, access.AlertManage, s.receiverSave},
		{get, live.ReceiverNew, access.AlertManage, s.receiverForm},
		{get, live.PatReceiver, access.AlertRead, s.receiverForm},
		{post, live.PatReceiver, access.AlertManage, s.receiverSave},
		{get, live.PatReceiverDo, access.AlertManage, s.receiverAsk},
		{post, live.PatReceiverDo, access.AlertManage, s.receiverAct},
		{get, live.OnCall, access.AlertRead, s.onCallPage},
		{post, live.Rotas, access.AlertManage, s.rotaSave},
		{get, live.RotaNew, access.AlertManage, s.rotaForm},
		{get, live.PatRota, access.AlertRead, s.rotaForm},
		{post, live.PatRota, access.AlertManage, s.rotaSave},
		{get, live.PatRotaDo, access.AlertManage, s.rotaAsk},
		{post, live.PatRotaDo, access.AlertManage, s.rotaAct},
		{post, live.Escalations, access.AlertManage, s.escalationSave},
		{get, live.EscalationNew, access.AlertManage, s.escalationForm},
		{get, live.PatEscalation, access.AlertRead, s.escalationForm},
		{post, live.PatEscalation, access.AlertManage, s.escalationSave},
		{get, live.PatEscalDo, access.AlertManage, s.escalationAsk},
		{post, live.PatEscalDo, access.AlertManage, s.escalationAct},
		{get, live.Incidents, access.AlertRead, s.incidentList},
		{get, live.PatIncident, access.AlertRead, s.incidentPage},
		{get, live.PatAlert, access.AlertRead, s.alertPage},
		{post, live.PatAlertAct, access.AlertHandle, s.alertAct},
		{get, live.Query, access.VMRead, s.queryPage},
		{get, live.MetricList, access.VMRead, s.kept(s.metricList)},
		{get, live.Dashboards, access.AccountSelf, s.boardList},
		{post, live.Dashboards, access.AccountSelf, s.boardSave},
		{get, live.DashboardNew, access.AccountSelf, s.boardNew},
		{get, live.DashboardImport, access.AccountSelf, s.boardImport},
		{post, live.DashboardImport, access.AccountSelf, s.boardImport},
		{get, live.PatDashboard, access.AccountSelf, s.boardPage},
		{post, live.PatDashboard, access.AccountSelf, s.boardSave},
		{get, live.PatDashboardAct, access.AccountSelf, s.boardAsk},
		{post, live.PatDashboardAct, access.AccountSelf, s.boardDelete},
		{get, live.Tasks, access.JobRead, s.kept(s.taskList)},
		{get, live.PatTask, access.JobRead, s.taskPage},
		{post, live.PatTaskAction, access.JobCancel, s.taskAct},
		{get, live.Events, access.EventRead, s.kept(s.eventList)},
		{get, live.Webhooks, access.WebhookManage, s.webhookList},
		{post, live.Webhooks, access.WebhookManage, s.webhookSave},
		{get, live.WebhookNew, access.WebhookManage, s.webhookForm},
		{get, live.PatWebhook, access.WebhookManage, s.webhookForm},
		{post, live.PatWebhook, access.WebhookManage, s.webhookSave},
		{get, live.PatWebhookDo, access.WebhookManage, s.webhookAsk},
		{post, live.PatWebhookDo, access.WebhookManage, s.webhookAct},
		{post, live.PatRedeliver, access.WebhookManage, s.webhookRedeliver},
		{get, live.APIDocs, access.AccountSelf, s.apiDocs},
		{get, live.PatAPIDoc, access.AccountSelf, s.apiDoc},

		{get, live.Folders, access.VMRead, s.folderList},
		{post, live.Folders, access.FolderManage, s.folderMake},
		{post, live.PatFolder, access.FolderManage, s.folderChange},

		{get, live.Access, access.AccountSelf, s.accessHome},
		{get, live.AccessUsers, access.UserRead, s.kept(s.userList)},
		{post, live.AccessUsers, access.UserManage, s.userCreate},
		{get, live.AccessUserNew, access.UserManage, s.userNew},
		{get, live.AccessUserBulk, access.UserManage, s.userAsk},
		{post, live.AccessUserBulk, access.UserManage, s.userBulk},
		{get, live.PatAccessUser, access.UserRead, s.userPage},
		{post, live.PatAccessUser, access.UserManage, s.userEdit},
		{get, live.AccessGroups, access.UserRead, s.kept(s.groupList)},
		{post, live.AccessGroups, access.UserManage, s.groupSave},
		{get, live.AccessGroupNew, access.UserManage, s.groupPage},
		{get, live.AccessGroupBulk, access.UserManage, s.groupAsk},
		{post, live.AccessGroupBulk, access.UserManage, s.groupBulk},
		{get, live.PatAccessGroup, access.UserRead, s.groupPage},
		{post, live.PatAccessGroup, access.UserManage, s.groupSave},
		{get, live.Tenants, access.TenantRead, s.kept(s.tenantList)},
		{post, live.Tenants, access.TenantManage, s.tenantSave},
		{get, live.TenantNew, access.TenantManage, s.tenantForm},
		{get, live.TenantBulk, access.TenantManage, s.tenantAsk},
		{post, live.TenantBulk, access.TenantManage, s.tenantBulk},
		{get, live.PatTenant, access.TenantRead, s.tenantPage},
		{get, live.PatTenantEdit, access.TenantManage, s.tenantForm},
		{post, live.PatTenantEdit, access.TenantManage, s.tenantSave},
		{get, live.Roles, access.RoleRead, s.kept(s.roleList)},
		{post, live.Roles, access.RoleManage, s.roleSave},
		{get, live.RoleNew, access.RoleManage, s.rolePage},
		{get, live.RoleBulk, access.RoleManage, s.roleAsk},
		{post, live.RoleBulk, access.RoleManage, s.roleBulk},
		{get, live.PatRole, access.RoleRead, s.rolePage},
		{post, live.PatRole, access.RoleManage, s.roleSave},
		{get, live.Bindings, access.RoleRead, s.kept(s.bindingList)},
		{get, live.BindingNew, access.RoleManage, s.bindingForm},
		{post, live.BindingNew, access.RoleManage, s.bindingSave},
		{post, live.BindingCheck, access.RoleManage, s.bindingCheck},
		{get, live.BindingBulk, access.RoleManage, s.bindingAsk},
		{post, live.BindingBulk, access.RoleManage, s.bindingBulk},
		{get, live.AccessTokens, access.TokenManage, s.serviceTokens},
		{post, live.AccessTokens, access.TokenManage, s.serviceTokenMake},
		{get, live.AccessTokenBulk, access.TokenManage, s.serviceTokenAsk},
		{post, live.AccessTokenBulk, access.TokenManage, s.serviceTokenBulk},
		{get, live.Explain, access.RoleRead, s.explainPage},
		{get, live.Audit, access.AuditRead, s.auditPage},
		{get, live.AuditExport, access.AuditRead, s.auditExport},
		{get, live.Compliance, access.AuditRead, s.compliancePage},
		{get, live.PatAuditRow, access.AuditRead, s.auditRowPage},
		{get, live.Account, access.AccountSelf, s.accountPage},
		{post, live.Prefs, access.AccountSelf, s.savePrefs},
		{post, live.AccountPwd, access.AccountSelf, s.changePassword},
		{get, live.MFA, access.AccountSelf, s.mfaPage},
		{post, live.MFA, access.AccountSelf, s.mfaAdd},
		{post, live.Passkeys, access.AccountSelf, s.passkeyAdd},
		{post, live.PatLink, access.AccountSelf, s.linkBegin},
		{post, live.PatUnlink, access.AccountSelf, s.unlink},
		{get, live.SignInRules, access.RoleManage, s.rulesPage},
		{post, live.SignInRules, access.RoleManage, s.rulesSave},
		{get, live.ProviderNew, access.RoleManage, s.providerForm},
		{post, live.ProviderNew, access.RoleManage, s.providerSave},
		{get, live.PatProvider, access.RoleManage, s.providerForm},
		{post, live.PatProvider, access.RoleManage, s.providerSave},
		{get, live.PatProvDelete, access.RoleManage, s.providerAsk},
		{post, live.PatProvDelete, access.RoleManage, s.providerDelete},
		{post, live.MFACodes, access.AccountSelf, s.mfaCodes},
		{post, live.PatMFARemove, access.AccountSelf, s.mfaRemove},
		{post, live.PatSessEnd, access.AccountSelf, s.sessionEnd},
		{post, live.SessEndAll, access.AccountSelf, s.sessionsEnd},
		{get, live.Device, access.AccountSelf, s.deviceSignIn},
		{post, live.Device, access.AccountSelf, s.deviceDecide},
		{post, live.Tokens, access.TokenManage, s.tokenCreate},
		{post, live.PatTokenRevoke, access.TokenManage, s.tokenRevoke},
	}
}

// askOf is what the request wants: its route's permission and everything that it names.
func (s *server) askOf(c echo.Context, r route) auth.Ask {
	ask := auth.Ask{Permission: r.perm, Route: r.method + " " + r.path}
	for i, name := range c.ParamNames() {
		if name != "ticket" { // it was given to who may, and is asked again where it is used
			ask.Path = append(ask.Path, c.ParamValues()[i])
		}
	}
	if r.path == live.PatConsoleWS {
		ask.Route = "GET " + live.Live
	}
	if auth.SubjectOf(c.Request().Context()).Sight().Full() {
		return ask
	}
	ask.Named = auth.IDs(c.Request().URL.RawQuery)
	if form := c.Request().Header.Get(echo.HeaderContentType); c.Request().Method != http.MethodGet && !strings.HasPrefix(form, "application/octet-stream") && !longBody(c) {
		if values, err := c.FormParams(); err == nil { // what cannot be read is the handler's to refuse
			ask.Named = append(ask.Named, auth.IDs(values.Encode())...)
		}
	}
	return ask
}

// readForm reads a form before anything is done with it: a handler that asks for a field alone would take what cannot be read for a form without it.
func readForm(c echo.Context) error {
	_, err := c.FormParams()
	if err == nil {
		return nil
	}
	if _, ours := errors.AsType[*echo.HTTPError](err); ours { // it is too large
		return err
	}
	return echo.NewHTTPError(http.StatusBadRequest).SetInternal(err)
}

// guard lets the route's handler run only for those who may.
func (s *server) guard(r route) echo.HandlerFunc {
	return func(c echo.Context) error {
		if r.method == http.MethodPost {
			if err := readForm(c); err != nil {
				return err
			}
		}
		if r.perm == access.Public {
			return r.h(c)
		}
		sub := auth.SubjectOf(c.Request().Context())
		if err := s.Auth.Authorise(c.Request().Context(), sub, s.askOf(c, r)); err != nil {
			return err
		}
		if sub.MustChange && r.path != live.Password {
			return errMustChange
		}
		if sub.Enroll && r.path != live.MFA && r.path != live.Passkeys && r.path != live.Password {
			return auth.ErrSetUp()
		}
		if asked, err := s.stepUp(c, r); asked || err != nil {
			return err
		}
		return r.h(c)
	}
}
