package trust

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/watchword-dev/watchword/api"
)

// Names of presets that code refers to.
const (
	OIDC       = "oidc"
	Kubernetes = "kubernetes"
	SPIFFE     = "spiffe"

	circleCI = "circleci"
	azure    = "azure"
	aws      = "aws"
	github   = "github"
)

// Preset is what is known about the tokens of one kind of platform.
type Preset struct {
	Name  string
	Title string // as people call the platform
	Doc   string // one sentence

	// Issuer is the iss of all tokens, or its form, with the variable parts in capitals.
	Issuer string
	issuer *regexp.Regexp // nil: any https URL
	// Shared matches an issuer that several customers of the platform have, and Customer is the claim that a rule must pin
	// then. Presets that have no Shared need none: the issuer belongs to one customer.
	shared   *regexp.Regexp
	Customer string

	Claims    []Claim
	Required  [][]string  // groups of claims: a rule must pin one of each
	Fixed     []Fixed     // claims that every token must have, whatever the rule
	Denied    []Denied    // values that are refused unless the rule pins them
	Forbidden []Forbidden // what no rule may pin
	// Anchors are claims that say which workload it is. Every rule pins the first, so that the rules that a token can meet
	// are found by it. The others have names, by which the rules are found that a token nearly meets.
	Anchors []string

	// Others has audiences, or their beginnings if they end in an asterisk, that tokens of the platform have by default or
	// for other recipients. A trust may not want one of them: tokens that were given to others would be accepted.
	Others []string
	// Ask is how a workload gets a token for an audience, which replaces the word AUDIENCE.
	Ask string

	Algorithms  []string
	Types       []string      // values of typ, in lower case; "": it may be absent
	MaxLifetime time.Duration // default bound of exp - iat
	Once        bool          // whether a token is accepted only once by default

	Traps   []string // what operators of other products learned from accidents
	Real    string   // the real platform of the tests; empty: recorded claims only
	Sources []string // document and year of what this row says
}

// Claim is a claim that rules may name.
type Claim struct {
	Name   string // as rules name it
	At     string // the JSON pointer to it; empty: the member Name of the claims
	Doc    string
	Unique bool   // nobody can get the same value again after the workload is gone
	Set    bool   // an array; a rule names one element
	Form   *form  // of values; nil: any text
	Names  string // the claim that has the name of the same thing, which can be given to another
	Only   string // the only value that a rule may pin
	Hint   string // what a difference probably means
	Absent string // what to do if the token has no such claim
	Say    string // part of the sentence about a rule; %s is the value. Empty: "with NAME %s"

	Propose bool // whether a proposal pins it if the token has it
	PerRun  bool // it differs with each run of the same workload

	at []string // the members that lead to it
}

// Fixed is a claim that every token must have.
type Fixed struct{ Claim, Value, Hint string }

// Denied is values of a claim that are refused unless a rule pins the claim.
type Denied struct {
	Claim  string
	Values []string
	Why    string
}

// Forbidden is a part of the claims that no rule may pin, with all that is below it.
type Forbidden struct{ At, Why string }

type form struct {
	text  string
	match *regexp.Regexp
}

var (
	digits  = &form{"a number", regexp.MustCompile(`^[0-9]{1,30}$`)}
	uuid    = &form{"a UUID", regexp.MustCompile(`^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$`)}
	account = &form{"a number of 12 digits", regexp.MustCompile(`^[0-9]{12}$`)}
	arn     = &form{"the ARN of a role or user, as in arn:aws:iam::123456789012:role/NAME", regexp.MustCompile(`^arn:aws[a-z-]*:iam::[0-9]{12}:(role|user)/[^/].*$`)}
	boolean = &form{"true or false", regexp.MustCompile(`^(true|false)$`)}
)

const uuidPattern = `[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}`

// The algorithms that a trust may list. A MAC (HS256) cannot prove who signed, since whoever verifies it could have
// signed (RFC 8725, section 3.1), and none proves nothing.
var (
	spiffeAlgorithms = []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384", "PS512"}
	algorithms       = append(slices.Clone(spiffeAlgorithms), "EdDSA")
)

// others are recipients for which workloads of many platforms get tokens.
var others = []string{"sts.amazonaws.com", "api://AzureADTokenExchange", "//iam.googleapis.com/*", "https://iam.googleapis.com/*", "sigstore"}

// sharedIssuer is an issuer of all customers of a platform that has no preset. What its sub says is names, which another customer
// can register later.
type sharedIssuer struct {
	host  string // of the issuer
	title string // as people call the platform
	claim string // what a rule must pin as well, as a JSON pointer: an id that no other customer has
}

var shared = []sharedIssuer{
	{"app.terraform.io", "HCP Terraform", "/terraform_workspace_id"},
	{"app.eu.terraform.io", "HCP Terraform", "/terraform_workspace_id"},
	{"oidc.vercel.com", "Vercel", "/project_id"},
	{"api.pulumi.com", "Pulumi", "/https:~1~1pulumi.com~1org_id"},
}

// sharedBy returns the platform whose customers share an issuer, or nil.
func sharedBy(issuer string) *sharedIssuer {
	rest, _ := strings.CutPrefix(issuer, "https://")
	host, _, _ := strings.Cut(rest, "/")
	for i := range shared {
		if shared[i].host == host {
			return &shared[i]
		}
	}
	return nil
}

// sharedTraps says what a rule must pin for each of the shared issuers.
func sharedTraps() (all []string) {
	for _, s := range shared {
		all = append(all, fmt.Sprintf("The customers of %s share the issuer `https://%s`: a rule must pin `%s` too.", s.title, s.host, s.claim))
	}
	return all
}

// Presets returns the table, the default preset first.
func Presets() []*Preset { return presets }

// Find returns the preset of a name. The empty name is that of the default, OIDC.
func Find(name string) (*Preset, bool) {
	if name == "" {
		name = OIDC
	}
	for _, p := range presets {
		if p.Name == name {
			return p, true
		}
	}
	return nil, false
}

// of is the preset of stored settings. Unknown names are not stored; if there is one nevertheless, the default preset
// is the strictest about what it does not know.
func of(s *api.TrustSettings) *Preset {
	if p, ok := Find(s.Preset); ok {
		return p
	}
	return presets[0]
}

// DefaultIssuer returns the issuer of a trust that names none: that of all customers of the platform, or nothing if each has another.
func (p *Preset) DefaultIssuer() string {
	if strings.HasPrefix(p.Issuer, "https://") && strings.ToLower(p.Issuer) == p.Issuer {
		return p.Issuer
	}
	return ""
}

// Names returns the names of all presets.
func Names() (all []string) {
	for _, p := range presets {
		all = append(all, p.Name)
	}
	return all
}

var presets = located([]*Preset{
	{
		Name: OIDC, Title: "Any OpenID Connect issuer", Doc: "Any issuer that signs JWTs. A rule pins the subject.",
		Issuer: "https://HOST/PATH",
		Claims: []Claim{
			{Name: "sub", Doc: "The subject, which the issuer never gives to another (OpenID Connect Core 1.0, section 2).", Unique: true, Propose: true, Say: "the subject %s"},
			{Name: "azp", Doc: "The client that requested the token."},
			{Name: "client_id", Doc: "The client that requested the token (RFC 9068, section 2.2)."},
		},
		Required:   [][]string{{"sub"}},
		Anchors:    []string{"sub"},
		Algorithms: algorithms, Types: []string{"", "jwt", "at+jwt"}, MaxLifetime: time.Hour,
		Traps: append([]string{
			"The issuer must give a `sub` to one workload only, and never again to another. If it does not, no rule is safe.",
			"If several customers share the issuer, pin the claim with the customer's id too, as a JSON pointer such as `/tenant_id`.",
			"Tokens of Kubernetes and GitLab are refused, whatever their issuer: their `sub` has names. Use the presets `kubernetes` and `gitlab`.",
		}, sharedTraps()...),
		Real: "oidc-provider",
		Sources: []string{
			"OpenID Connect Core 1.0, section 2 (2014)", "RFC 9068, section 2 (2021)", "HCP Terraform: Workload identity (2026)",
			"Vercel: OIDC Federation Reference (2025)", "Pulumi ESC: Configure a relying party for custom-audience OIDC tokens (2026)",
		},
	},
	{
		Name: Kubernetes, Title: "Kubernetes", Doc: "Projected service account tokens of a cluster. A rule pins the uid of the service account.",
		Issuer: "the `--service-account-issuer` of the cluster",
		Claims: []Claim{
			{Name: "sub", Doc: "system:serviceaccount:NAMESPACE:NAME, which is the same after the service account is deleted and created again.", Propose: true, Say: "the service account %s"},
			{
				Name: "uid", At: "/kubernetes.io/serviceaccount/uid", Doc: "The uid of the service account, which differs if it is deleted and created again.",
				Unique: true, Form: uuid, Names: "sub", Propose: true, Say: "with the uid %s",
				Absent: "It is not a token of the TokenRequest API: use a projected token, or kubectl create token.",
			},
			{Name: "serviceaccount", At: "/kubernetes.io/serviceaccount/name", Doc: "The name of the service account.", Say: "the service account %s"},
			{Name: "namespace", At: "/kubernetes.io/namespace", Doc: "The namespace.", Say: "in the namespace %s"},
			{Name: "pod", At: "/kubernetes.io/pod/name", Doc: "The name of the pod. Pods of a StatefulSet keep theirs.", PerRun: true},
			{Name: "pod_uid", At: "/kubernetes.io/pod/uid", Doc: "The uid of the pod.", Unique: true, Form: uuid, PerRun: true},
			{Name: "node", At: "/kubernetes.io/node/name", Doc: "The name of the node (Kubernetes 1.30 or later).", PerRun: true},
			{Name: "node_uid", At: "/kubernetes.io/node/uid", Doc: "The uid of the node.", Unique: true, Form: uuid, PerRun: true},
		},
		Required:   [][]string{{"uid"}},
		Anchors:    []string{"uid", "sub"},
		Others:     []string{"https://kubernetes.default.svc*", "kubernetes.default.svc*", "kubernetes", "api", "vault"},
		Ask:        "kubectl create token NAME -n NAMESPACE --audience AUDIENCE",
		Algorithms: []string{"RS256", "ES256", "ES384", "ES512"},
		// kube-apiserver writes no typ (pkg/serviceaccount/jwt.go). An external signer must write JWT (externaljwt/v1).
		Types: []string{"", "jwt"}, MaxLifetime: 24 * time.Hour,
		Traps: []string{
			"In a pod, the token is a file of a projected volume, whose `audience` is that of the trust. The kubelet replaces it before it expires.",
			"A token for the API server's own audience may be valid for a year (`--service-account-extend-token-expiration`). Use an audience of your own.",
			"The name of a service account can be used again: only the `uid` tells one from the next.",
			"Tokens in Secrets never expire (`iss` is `kubernetes/serviceaccount`, and there is no `exp`). They are refused.",
			"Uploaded keys become outdated when the cluster rotates its keys: upload them again (`watchword trust update`).",
		},
		Real:    "kube-apiserver",
		Sources: []string{"Kubernetes: Managing Service Accounts (2026)", "Kubernetes 1.36, pkg/serviceaccount/claims.go and jwt.go (2026)"},
	},
	{
		Name: github, Title: "GitHub Actions", Doc: "Jobs of GitHub Actions. A rule pins the ids of the repository and its owner, and an environment, ref or workflow.",
		Issuer: "https://token.actions.githubusercontent.com",
		// GitHub Enterprise Server has HOST/_services/token, data residency has ghe.com, and an enterprise may add its name.
		issuer: regexp.MustCompile(`^https://(token\.actions\.githubusercontent\.com(/[A-Za-z0-9-]+)?|token\.actions\.[a-z0-9-]+\.ghe\.com(/[A-Za-z0-9-]+)?|[A-Za-z0-9.-]+(:[0-9]+)?/_services/token)$`),
		shared: regexp.MustCompile(`^https://token\.actions\.`), Customer: "repository_owner_id",
		Claims: []Claim{
			{Name: "repository_id", Doc: "The id of the repository.", Unique: true, Form: digits, Names: "repository", Propose: true, Say: "a job of repository %s"},
			{Name: "repository_owner_id", Doc: "The id of the organization or user that has the repository.", Unique: true, Form: digits, Names: "repository_owner", Propose: true, Say: "of owner %s"},
			{Name: "environment", Doc: "The environment of the job.", Propose: true, Say: "in environment %s", Absent: "The job names no environment: add environment: to it, or pin ref in its place."},
			{Name: "ref", Doc: "The branch or tag that the workflow runs for, such as refs/heads/main.", Propose: true, Say: "for the ref %s"},
			{Name: "event_name", Doc: "The event that started the workflow.", Propose: true, Say: "started by the event %s"},
			{Name: "job_workflow_ref", Doc: "The file of the workflow that has the job, with its ref; for a reusable workflow, the called one.", Propose: true, Say: "in the workflow %s"},
			{Name: "runner_environment", Doc: "github-hosted or self-hosted.", Propose: true, Say: "on a runner that is %s"},
			{Name: "workflow_ref", Doc: "The file of the workflow that was started, with its ref."},
			{Name: "ref_protected", Doc: "Whether the ref has branch protections or rulesets.", Form: boolean},
			{Name: "ref_type", Doc: "branch or tag."},
			{Name: "repository", Doc: "The owner and name of the repository."},
			{Name: "repository_owner", Doc: "The name of the owner."},
			{Name: "repository_visibility", Doc: "public, private or internal."},
			{Name: "enterprise_id", Doc: "The id of the enterprise.", Unique: true, Form: digits},
			{Name: "enterprise", Doc: "The name of the enterprise."},
			{Name: "workflow", Doc: "The name of the workflow, which its file chooses."},
			{Name: "sub", Doc: "The subject. Its form can be customized.", Hint: "The form of sub changed on 2026-07-15 for new, renamed and transferred repositories, and can be customized: pin repository_id, repository_owner_id, and environment or ref in its place."},
			{Name: "actor_id", Doc: "The id of the user that started the run.", Form: digits, PerRun: true},
			{Name: "actor", Doc: "The name of the user that started the run.", PerRun: true},
			{Name: "base_ref", Doc: "The target of a pull request.", PerRun: true},
			{Name: "head_ref", Doc: "The source of a pull request.", PerRun: true},
			{Name: "run_id", Doc: "The id of the run.", Form: digits, PerRun: true},
			{Name: "run_number", Doc: "The number of the run.", Form: digits, PerRun: true},
			{Name: "run_attempt", Doc: "The number of the attempt.", Form: digits, PerRun: true},
			{Name: "check_run_id", Doc: "The id of the job's check run.", Form: digits, PerRun: true},
			{Name: "sha", Doc: "The commit.", PerRun: true},
			{Name: "job_workflow_sha", Doc: "The commit of the workflow that has the job.", PerRun: true},
			{Name: "workflow_sha", Doc: "The commit of the workflow.", PerRun: true},
		},
		Required: [][]string{{"repository_id"}, {"environment", "ref", "job_workflow_ref"}},
		Denied: []Denied{{
			"event_name",
			[]string{"pull_request", "pull_request_target"},
			"Whoever can open a pull request can start such a job.",
		}},
		Anchors:    []string{"repository_id", "repository", "sub"},
		Others:     []string{"https://github.com/*"},
		Ask:        "core.getIDToken(\"AUDIENCE\")",
		Algorithms: []string{"RS256"}, Types: []string{"jwt"}, MaxLifetime: 15 * time.Minute, Once: true,
		Traps: []string{
			"The names of repositories and owners can be registered again after they were given up: pin the ids.",
			"`sub` changed on 2026-07-15 for new, renamed and transferred repositories (`repo:OWNER@ID/REPO@ID:...`): a rule by `sub` silently matches nothing.",
			"The default audience is the URL of the owner, the same for all recipients. Use an audience of your own.",
		},
		Sources: []string{"GitHub Docs: OpenID Connect reference (2026)", "google-github-actions/auth issue 474 (2025): tokens live for 5 minutes"},
	},
	{
		Name: "gitlab", Title: "GitLab CI/CD", Doc: "ID tokens of jobs of GitLab CI/CD (id_tokens). A rule pins the id of the project, and that the ref is protected.",
		Issuer: "https://HOST",
		shared: regexp.MustCompile(`^https://gitlab\.com$`), Customer: "namespace_id",
		Claims: []Claim{
			{Name: "project_id", Doc: "The id of the project.", Unique: true, Form: digits, Names: "project_path", Propose: true, Say: "a job of project %s"},
			{Name: "namespace_id", Doc: "The id of the group or user that has the project.", Unique: true, Form: digits, Names: "namespace_path", Propose: true, Say: "of namespace %s"},
			{Name: "ref_protected", Doc: "Whether the ref is protected, as a string. A rule must want true.", Form: boolean, Only: "true", Propose: true, Say: "on a protected ref", Hint: "The ref is not protected: protect the branch or tag in the settings of the project."},
			{Name: "environment", Doc: "The environment of the job.", Propose: true, Say: "in environment %s", Absent: "The job names no environment: add environment: to it, or pin ref in its place."},
			{Name: "ref", Doc: "The name of the branch or tag, without refs/heads/.", Propose: true, Say: "for the ref %s"},
			{Name: "ref_type", Doc: "branch or tag.", Propose: true, Say: "which is a %s"},
			{Name: "pipeline_source", Doc: "What started the pipeline, such as push or web.", Propose: true, Say: "in a pipeline started by %s"},
			{Name: "ref_path", Doc: "The whole ref, such as refs/heads/main."},
			{Name: "environment_protected", Doc: "Whether the environment is protected, as a string.", Form: boolean},
			{Name: "deployment_tier", Doc: "The tier of the environment, such as production."},
			{Name: "project_path", Doc: "The path of the project."},
			{Name: "namespace_path", Doc: "The path of the group or user."},
			{Name: "project_visibility", Doc: "public, internal or private."},
			{Name: "runner_environment", Doc: "gitlab-hosted or self-hosted."},
			{Name: "runner_id", Doc: "The id of the runner.", Form: digits},
			{Name: "ci_config_ref_uri", Doc: "The file of the pipeline, with its ref."},
			{Name: "sub", Doc: "project_path:GROUP/PROJECT:ref_type:TYPE:ref:NAME, which has no id and can be customized.", Hint: "sub has names, which can be used again, and can be customized: pin project_id and ref in its place."},
			{Name: "user_id", Doc: "The id of the user that started the job.", Form: digits, PerRun: true},
			{Name: "user_login", Doc: "The name of the user that started the job.", PerRun: true},
			{Name: "user_email", Doc: "The address of the user that started the job.", PerRun: true},
			{Name: "user_access_level", Doc: "The access level of the user that started the job.", PerRun: true},
			{Name: "pipeline_id", Doc: "The id of the pipeline.", Form: digits, PerRun: true},
			{Name: "job_id", Doc: "The id of the job.", Form: digits, PerRun: true},
			{Name: "sha", Doc: "The commit.", PerRun: true},
			{Name: "ci_config_sha", Doc: "The commit of the file of the pipeline.", PerRun: true},
		},
		Required: [][]string{{"project_id"}, {"ref_protected"}},
		Anchors:  []string{"project_id", "project_path", "sub"},
		Ask:      "id_tokens: {WATCHWORD_TOKEN: {aud: \"AUDIENCE\"}}",
		// GitLab: the token expires with the timeout of the job, or after 5 minutes if it has none. Jobs on the runners of
		// gitlab.com end after 3 hours at the latest.
		Algorithms: []string{"RS256"}, Types: []string{"jwt"}, MaxLifetime: 3 * time.Hour, Once: true,
		Traps: []string{
			"Booleans are strings: `ref_protected` is `\"true\"`.",
			"Pipelines of merge requests from forks have the `project_id` of the fork.",
			"`project_path` and `namespace_path` can be used by others after they were given up: pin the ids.",
			"A job has one token for each name below `id_tokens`, so that a job can authenticate once with each.",
		},
		Sources: []string{"GitLab Docs: OpenID Connect (OIDC) authentication using ID tokens (2026)", "GitLab issue 351765 (2022): the lifetime of the token"},
	},
	{
		Name: circleCI, Title: "CircleCI", Doc: "Jobs of CircleCI. A rule pins the id of the project; the issuer has the id of the organization.",
		Issuer: "https://oidc.circleci.com/org/ORG",
		issuer: regexp.MustCompile(`^https://oidc\.circleci\.com/org/` + uuidPattern + `$`),
		Claims: []Claim{
			{Name: "project_id", At: "/oidc.circleci.com~1project-id", Doc: "The id of the project.", Unique: true, Form: uuid, Propose: true, Say: "a job of project %s"},
			{Name: "vcs_origin", At: "/oidc.circleci.com~1vcs-origin", Doc: "The repository of the change. A build of a fork has that of the fork.", Propose: true, Say: "for the repository %s"},
			{Name: "vcs_ref", At: "/oidc.circleci.com~1vcs-ref", Doc: "The ref of the change, such as refs/heads/main.", Propose: true, Say: "for the ref %s"},
			{Name: "ssh_rerun", At: "/oidc.circleci.com~1ssh-rerun", Doc: "Whether somebody may be logged in to the job with SSH.", Form: boolean, Propose: true, Say: "with SSH rerun %s"},
			{Name: "context_ids", At: "/oidc.circleci.com~1context-ids", Doc: "The ids of the contexts of the job. A rule names one of them.", Unique: true, Form: uuid, Set: true, Say: "with the context %s"},
			{Name: "sub", Doc: "org/ORG/project/PROJECT/user/USER, which differs with the user that started the job.", PerRun: true},
		},
		Required: [][]string{{"project_id"}},
		Anchors:  []string{"project_id"},
		Ask:      "circleci run oidc get --claims '{\"aud\": \"AUDIENCE\"}'",
		// The documentation says that exp is one hour after iat, and does not name a jti.
		Algorithms: []string{"RS256"}, Types: []string{"", "jwt"}, MaxLifetime: time.Hour,
		Traps: []string{
			"The default audience is the id of the organization, the same for all recipients. `circleci run oidc get` requests another; set `--audience` then.",
			"If builds of forks get secrets, their tokens have the `project_id` of the original: pin `vcs_origin` too.",
			"Whoever reruns a job with SSH gets its tokens: pin `ssh_rerun` to `false`.",
		},
		Sources: []string{"CircleCI Docs: Using OpenID Connect tokens in jobs (2025)", "CircleCI Docs: OIDC tokens with custom claims (2025)"},
	},
	{
		Name: "buildkite", Title: "Buildkite", Doc: "Jobs of Buildkite. A rule pins the ids of the organization and the pipeline, which the job must request.",
		Issuer: "https://agent.buildkite.com",
		issuer: regexp.MustCompile(`^https://agent\.buildkite\.com$`),
		shared: regexp.MustCompile(`^https://agent\.buildkite\.com$`), Customer: "organization_id",
		Claims: []Claim{
			{Name: "pipeline_id", Doc: "The id of the pipeline.", Unique: true, Form: uuid, Names: "pipeline_slug", Propose: true, Say: "a job of pipeline %s", Absent: askBuildkite},
			{Name: "organization_id", Doc: "The id of the organization.", Unique: true, Form: uuid, Names: "organization_slug", Propose: true, Say: "of organization %s", Absent: askBuildkite},
			{Name: "build_branch", Doc: "The branch of the build.", Propose: true, Say: "for the branch %s"},
			{Name: "build_source", Doc: "What started the build: ui, api, webhook, trigger_job or schedule."},
			{Name: "build_tag", Doc: "The tag of the build."},
			{Name: "step_key", Doc: "The key of the step."},
			{Name: "cluster_id", Doc: "The id of the cluster. It must be requested with --claim.", Unique: true, Form: uuid},
			{Name: "queue_id", Doc: "The id of the queue. It must be requested with --claim.", Unique: true, Form: uuid},
			{Name: "runner_environment", Doc: "buildkite-hosted or self-hosted."},
			{Name: "organization_slug", Doc: "The name of the organization."},
			{Name: "pipeline_slug", Doc: "The name of the pipeline."},
			{Name: "sub", Doc: "organization:ORG:pipeline:PIPELINE:ref:REF:commit:COMMIT:step:STEP, or what --subject-claim says.", PerRun: true},
			{Name: "build_id", Doc: "The id of the build.", Form: uuid, PerRun: true},
			{Name: "build_number", Doc: "The number of the build.", Form: digits, PerRun: true},
			{Name: "build_commit", Doc: "The commit.", PerRun: true},
			{Name: "job_id", Doc: "The id of the job.", Form: uuid, PerRun: true},
			{Name: "agent_id", Doc: "The id of the agent.", Form: uuid, PerRun: true},
		},
		Required: [][]string{{"pipeline_id"}, {"organization_id"}},
		Anchors:  []string{"pipeline_id", "pipeline_slug"},
		Others:   []string{"https://buildkite.com/*"},
		Ask:      "buildkite-agent oidc request-token --audience AUDIENCE --claim organization_id,pipeline_id",
		// The default is 5 minutes, and --lifetime chooses up to two hours. The header has no typ. The documentation does not
		// name the jti, which tokens have since 2025.
		Algorithms: []string{"RS256"}, Types: []string{"", "jwt"}, MaxLifetime: 2 * time.Hour, Once: true,
		Traps: []string{
			"All customers have the same issuer: without `organization_id`, a pipeline of anybody could match.",
			"The ids are in the token only if the job requests them: `--claim organization_id,pipeline_id`.",
			"The names of organizations and pipelines can be used again.",
			"A build of a fork's pull request may have the branch `main` as well. Do not build forks, or let Buildkite prefix the names of their branches.",
		},
		Sources: []string{"Buildkite Docs: buildkite-agent oidc (2026)", "Buildkite Docs: Workload identity federation, Working with Buildkite agents (2026)", "rubygems.org issue 5412 (2025): a token with jti and without typ", "aws-assume-role-with-web-identity-buildkite-plugin issue 43 (2026): the longest lifetime"},
	},
	{
		Name: "fly", Title: "Fly.io", Doc: "Machines of Fly.io. A rule pins the ids of the app and of the organization; the issuer has only its name.",
		Issuer: "https://oidc.fly.io/ORG",
		issuer: regexp.MustCompile(`^https://oidc\.fly\.io/[A-Za-z0-9-]+$`),
		shared: regexp.MustCompile(`^https://oidc\.fly\.io/`), Customer: "org_id",
		Claims: []Claim{
			{Name: "app_id", Doc: "The id of the app.", Unique: true, Form: digits, Names: "app_name", Propose: true, Say: "a machine of app %s"},
			{Name: "org_id", Doc: "The id of the organization.", Unique: true, Form: digits, Names: "org_name", Propose: true, Say: "of organization %s"},
			{Name: "machine_id", Doc: "The id of the machine.", Unique: true, Names: "machine_name", PerRun: true},
			{Name: "image_digest", Doc: "The digest of the image.", PerRun: true},
			{Name: "image", Doc: "The name of the image.", PerRun: true},
			{Name: "region", Doc: "The region."},
			{Name: "app_name", Doc: "The name of the app."},
			{Name: "org_name", Doc: "The name of the organization."},
			{Name: "machine_name", Doc: "The name of the machine.", PerRun: true},
			{Name: "machine_version", Doc: "The version of the machine.", PerRun: true},
			{Name: "sub", Doc: "ORG:APP:MACHINE, which are names.", PerRun: true},
		},
		Required: [][]string{{"app_id"}, {"org_id"}},
		Anchors:  []string{"app_id", "app_name"},
		Others:   []string{"https://fly.io/*"},
		Ask:      "curl --unix-socket /.fly/api -X POST http://localhost/v1/tokens/oidc --data '{\"aud\": \"AUDIENCE\"}'",
		// A machine asks for a new token whenever it needs one, and programs keep it while it is valid.
		Algorithms: []string{"RS256"}, Types: []string{"", "jwt"}, MaxLifetime: 15 * time.Minute,
		Traps: []string{
			"The issuer has the name of the organization, which can be used by another after it was given up: `org_id` is required.",
			"`sub` is made of names only.",
			"The default audience is the URL of the organization, the same for all recipients. Use an audience of your own.",
		},
		Sources: []string{"Fly Docs: OpenID Connect (2024)"},
	},
	{
		Name: aws, Title: "AWS", Doc: "IAM roles of AWS, with tokens of sts:GetWebIdentityToken. A rule pins the account and the ARN of the role.",
		Issuer: "https://UUID.tokens.sts.global.api.aws",
		issuer: regexp.MustCompile(`^https://[A-Za-z0-9-]+\.tokens\.sts\.global\.api\.aws$`),
		Claims: []Claim{
			{Name: "sub", Doc: "The ARN of the role or user.", Form: arn, Propose: true, Say: "the principal %s"},
			{Name: "aws_account", At: "/https:~1~1sts.amazonaws.com~1/aws_account", Doc: "The number of the account.", Unique: true, Form: account, Propose: true, Say: "of the account %s"},
			{Name: "org_id", At: "/https:~1~1sts.amazonaws.com~1/org_id", Doc: "The id of the organization.", Unique: true},
			{Name: "ou_path", At: "/https:~1~1sts.amazonaws.com~1/ou_path", Doc: "The organizational units of the account."},
			{Name: "source_region", At: "/https:~1~1sts.amazonaws.com~1/source_region", Doc: "The region in which the token was requested."},
			{Name: "lambda_source_function_arn", At: "/https:~1~1sts.amazonaws.com~1/lambda_source_function_arn", Doc: "The Lambda function."},
			{Name: "ec2_source_instance_arn", At: "/https:~1~1sts.amazonaws.com~1/ec2_source_instance_arn", Doc: "The EC2 instance.", PerRun: true},
		},
		Required: [][]string{{"aws_account"}, {"sub"}},
		Forbidden: []Forbidden{{
			"/https:~1~1sts.amazonaws.com~1/request_tags",
			"whoever requests the token chooses the request tags. Pin aws_account and sub; the tags of the role are below principal_tags",
		}},
		Anchors:    []string{"sub"},
		Ask:        "aws sts get-web-identity-token --audience AUDIENCE --signing-algorithm ES384",
		Algorithms: []string{"ES384", "RS256"}, Types: []string{"", "jwt"}, MaxLifetime: time.Hour,
		Traps: []string{
			"The name of a role can be used again in the same account. Nothing in the token tells the roles apart: guard who may create roles.",
			"The token is requested with up to 10 audiences. More than one is refused.",
		},
		Sources: []string{"AWS IAM User Guide: Understanding token claims (2025)", "AWS STS API Reference: GetWebIdentityToken (2025)"},
	},
	{
		Name: "gcp", Title: "Google Cloud", Doc: "Service accounts of Google Cloud, with identity tokens. A rule pins the numeric sub.",
		Issuer: "https://accounts.google.com",
		issuer: regexp.MustCompile(`^https://accounts\.google\.com$`),
		shared: regexp.MustCompile(`^https://accounts\.google\.com$`), Customer: "sub",
		Claims: []Claim{
			{Name: "sub", Doc: "The unique id of the service account, a number.", Unique: true, Form: digits, Names: "email", Propose: true, Say: "the service account %s"},
			{Name: "project_id", At: "/google/compute_engine/project_id", Doc: "The project of the instance, in a token with format=full.", Absent: askGCP},
			{Name: "project_number", At: "/google/compute_engine/project_number", Doc: "The number of the project of the instance.", Unique: true, Form: digits, Absent: askGCP},
			{Name: "instance_id", At: "/google/compute_engine/instance_id", Doc: "The id of the instance.", Unique: true, Form: digits, Names: "instance_name", PerRun: true, Absent: askGCP},
			{Name: "instance_name", At: "/google/compute_engine/instance_name", Doc: "The name of the instance.", PerRun: true, Absent: askGCP},
			{Name: "zone", At: "/google/compute_engine/zone", Doc: "The zone of the instance.", PerRun: true, Absent: askGCP},
			{Name: "azp", Doc: "The unique id of the service account, as authorized party.", Unique: true, Form: digits},
			{Name: "email", Doc: "The address of the service account."},
			{Name: "email_verified", Doc: "Whether the address is verified.", Form: boolean},
		},
		Required: [][]string{{"sub"}},
		Anchors:  []string{"sub", "email"},
		Ask:      "curl -H 'Metadata-Flavor: Google' 'http://metadata.google.internal/computeMetadata/v1/instance/service-accounts/default/identity?format=full&audience=AUDIENCE'",
		// The metadata server answers the same token again while it is valid, so once only would refuse it.
		Algorithms: []string{"RS256"}, Types: []string{"jwt"}, MaxLifetime: time.Hour,
		Traps: []string{
			"Everybody with a Google account has this issuer: only the numeric `sub` says who it is.",
			"`email` can be used again after the service account is deleted.",
		},
		Sources: []string{"Google Cloud: Verify VM identity (2026)", "Google Cloud: gcloud auth print-identity-token (2026)"},
	},
	{
		Name: azure, Title: "Azure", Doc: "Managed identities of Azure, with access tokens of Microsoft Entra ID. A rule pins the ids of the tenant and of the identity.",
		Issuer: "`https://sts.windows.net/TENANT/` (v1.0) or `https://login.microsoftonline.com/TENANT/v2.0` (v2.0)",
		issuer: regexp.MustCompile(`^https://(sts\.windows\.net/` + uuidPattern + `/|login\.microsoftonline\.com/` + uuidPattern + `/v2\.0)$`),
		Claims: []Claim{
			{Name: "oid", Doc: "The object id of the identity.", Unique: true, Form: uuid, Propose: true, Say: "the identity %s"},
			{Name: "tid", Doc: "The id of the tenant, which must be that of the issuer.", Unique: true, Form: uuid, Propose: true, Say: "of tenant %s"},
			{Name: "appid", Doc: "The client id of the identity (v1.0).", Unique: true, Form: uuid},
			{Name: "azp", Doc: "The client id of the identity (v2.0).", Unique: true, Form: uuid},
			{Name: "xms_mirid", Doc: "The resource id of the managed identity."},
			{Name: "sub", Doc: "The subject, which differs with the audience."},
			{Name: "idtyp", Doc: "app if no user is involved. Every token must have it."},
		},
		Required:   [][]string{{"tid"}, {"oid"}},
		Fixed:      []Fixed{{"idtyp", "app", "Only tokens of applications are accepted, not those of users. If the claim is absent, add the optional claim idtyp for access tokens to the app registration whose id is the audience."}},
		Anchors:    []string{"oid"},
		Others:     []string{"https://management.azure.com*", "https://management.core.windows.net*", "https://graph.microsoft.com*", "00000003-0000-0000-c000-000000000000", "https://graph.windows.net*", "https://vault.azure.net*", "https://storage.azure.com*", "https://database.windows.net*"},
		Ask:        "curl -H Metadata:true 'http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource=AUDIENCE'",
		Algorithms: []string{"RS256"}, Types: []string{"jwt"},
		// A managed identity's token is valid for 24 hours, and iat is five minutes before it is issued. The metadata service
		// answers the same token again while it is valid, so once only would refuse it.
		MaxLifetime: 24*time.Hour + 10*time.Minute,
		Traps: []string{
			"The audience must be an application that you registered. Tokens for Microsoft's own APIs are given to many others.",
			"Tokens may come from the issuer of either version. Which one is a setting of the app registration (`requestedAccessTokenVersion`); add a trust for the other if both arrive.",
			"The token is valid for 24 hours, and the metadata service returns the same one again.",
		},
		Sources: []string{"Microsoft identity platform: Access token claims reference (2025)", "Microsoft identity platform: Optional claims reference (2025)", "Microsoft Entra: How to use managed identities on an Azure VM to acquire an access token (2025)"},
	},
	{
		Name: SPIFFE, Title: "SPIFFE", Doc: "JWT-SVIDs and X.509-SVIDs of a trust domain. A rule pins a SPIFFE ID, or a path that ends in a slash.",
		Issuer: "spiffe://TRUST-DOMAIN",
		issuer: regexp.MustCompile(`^spiffe://[a-z0-9._-]{1,255}$`),
		Claims: []Claim{
			{Name: "sub", Doc: "The SPIFFE ID, or its beginning up to and with a slash.", Unique: true, Propose: true, Say: "the workload %s"},
		},
		Required:   [][]string{{"sub"}},
		Anchors:    []string{"sub"},
		Ask:        "spire-agent api fetch jwt -audience AUDIENCE",
		Algorithms: spiffeAlgorithms, Types: []string{"", "jwt", "jose"}, MaxLifetime: time.Hour,
		Traps: []string{
			"EdDSA is not accepted (JWT-SVID, section 2.1).",
			"`jti` and `iss` are optional, and an SVID is meant to be used again.",
			"The longest lifetime is that of JWT-SVIDs. X.509-SVIDs are bounded only by a lifetime that the trust sets itself.",
			"The keys of two trust domains are never merged, and an empty bundle trusts nothing.",
			"A token whose subject is a SPIFFE ID belongs to the trust of that trust domain, whatever its `iss` is: a trust of the preset oidc for the OIDC issuer of SPIRE has no tokens.",
			"With `endpointId`, the last bundle that was fetched is kept in memory only. After a restart the uploaded bundle must still fit the endpoint, so upload it again after the authorities of the trust domain were rotated.",
			"The authority of the trust domain says who may have a path: a rule that ends in a slash trusts it for all that is below.",
		},
		Real:    "SPIRE",
		Sources: []string{"SPIFFE: The JWT SPIFFE Verifiable Identity Document (2025)", "SPIFFE: The SPIFFE Identity and Verifiable Identity Document (2025)", "draft-ietf-oauth-spiffe-client-auth-02 (2026)"},
	},
})

// located returns the presets after the members that lead to their claims were read.
func located(all []*Preset) []*Preset {
	for _, p := range all {
		for i := range p.Claims {
			c := &p.Claims[i]
			if c.at = []string{c.Name}; c.At != "" {
				c.at, _ = path(c.At)
			}
		}
	}
	return all
}

const (
	askBuildkite = "The token has it only if the job requests it: buildkite-agent oidc request-token --claim organization_id,pipeline_id."
	askGCP       = "The token has it only if it is that of an instance and was requested with format=full."
)
