package directory

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/watchword-dev/watchword/server/internal/cowmap"
	"github.com/watchword-dev/watchword/server/internal/policy"
)

// Snapshot is everything the directory holds at one revision, immutable. Requests are
// answered from it; what it returns is shared and not to be changed.
type Snapshot struct {
	revision    int64
	epoch       int64
	byName      cowmap.Map[string, *Service]
	byUID       cowmap.Map[UID, *Service]
	byAudience  cowmap.Map[string, *Service]
	credentials cowmap.Map[string, *Credential]
	byOwner     cowmap.Map[UID, []*Credential]
	denied      cowmap.Map[string, Denial]
	denials     uint64
	trusts      trusts
	keep        time.Duration
	callMap     policy.CallMap
	overlay     policy.CallMap // rules that are decided beside: see Verdict.Shadow
}

// NewSnapshot indexes a state. keep is how long a token can live: for so long what was revoked
// stays denied.
func NewSnapshot(st *State, keep time.Duration) *Snapshot {
	s := &Snapshot{
		revision:    st.Revision,
		epoch:       st.Epoch,
		keep:        keep,
		denials:     editions.Add(1),
		byName:      cowmap.Collect(len(st.Services), indexed(st.Services, func(svc *Service) string { return svc.Name })),
		byUID:       cowmap.Collect(len(st.Services), indexed(st.Services, func(svc *Service) UID { return svc.UID })),
		credentials: cowmap.Collect(len(st.Credentials), indexed(st.Credentials, func(c *Credential) string { return c.ID })),
		callMap: policy.Compile(len(st.Rules), func(yield func(policy.Rule) bool) {
			for _, r := range st.Rules {
				if !yield(r.Compiled()) {
					return
				}
			}
		}),
	}
	s.overlay = compileShadow(st.Shadow)
	audiences, owners, denied := map[string]*Service{}, map[UID][]*Credential{}, map[string]Denial{}
	for i := range st.Services {
		svc := &st.Services[i]
		for _, a := range svc.Audiences {
			audiences[a] = svc
		}
		if svc.Disabled {
			denied[FormatUID(svc.UID)] = Denial{}
		}
	}
	s.trusts = collectTrusts(st)
	for i := range st.Credentials {
		c := &st.Credentials[i]
		owners[c.Service] = append(owners[c.Service], c)
		if !c.RevokedAt.IsZero() {
			denied[c.ID] = Denial{Until: c.RevokedAt.Add(keep)}
		}
	}
	for _, r := range st.Revocations {
		denied[r.ID] = Denial{r.Until, r.Status}
	}
	for _, all := range owners {
		slices.SortFunc(all, byID)
	}
	s.byAudience = cowmap.Collect(len(audiences), maps.All(audiences))
	s.byOwner = cowmap.Collect(len(owners), maps.All(owners))
	s.denied = cowmap.Collect(len(denied), maps.All(denied))
	return s
}

// indexed ranges over pointers to the rows, each with its key.
func indexed[K, V any](rows []V, key func(*V) K) iter.Seq2[K, *V] {
	return func(yield func(K, *V) bool) {
		for i := range rows {
			if !yield(key(&rows[i]), &rows[i]) {
				return
			}
		}
	}
}

func compileShadow(rules []ShadowRule) policy.CallMap {
	return policy.Compile(len(rules), func(yield func(policy.Rule) bool) {
		for _, r := range rules {
			c := r.Compiled()
			if r.Absent {
				c.Terms = &policy.Terms{Absent: true}
			}
			if !yield(c) {
				return
			}
		}
	})
}

func byID(a, b *Credential) int { return strings.Compare(a.ID, b.ID) }

// Revision is that of the last change the snapshot holds.
func (s *Snapshot) Revision() int64 { return s.revision }

// Epoch tells the states of a database apart that was put back to a backup: revisions of a later epoch are newer
// than all of an earlier one. It is raised when a server starts and when a server that runs finds an earlier state.
func (s *Snapshot) Epoch() int64 { return s.epoch }

// TokenLife is the longest that a token can live that any server on this database issued, also under earlier
// settings: for so long what was revoked stays denied.
func (s *Snapshot) TokenLife() time.Duration { return s.keep }

// Service finds a service by name.
func (s *Snapshot) Service(name string) (*Service, bool) { return s.byName.Find(name) }

// Audience finds the service that has name as its name or among its audiences.
func (s *Snapshot) Audience(name string) (*Service, bool) {
	if svc, ok := s.byName.Find(name); ok {
		return svc, true
	}
	return s.byAudience.Find(name)
}

// CredentialsOf are the credentials of a service, by id, but for most of those that have ended a
// while ago. Not to be changed.
func (s *Snapshot) CredentialsOf(uid UID) []*Credential {
	all, _ := s.byOwner.Find(uid)
	return all
}

// Denied reports whether no token may depend on id any more: the jti of a revoked token, the uid of
// a service that is deleted or disabled, the id of a revoked credential. It goes on saying so
// until the last such token has expired.
func (s *Snapshot) Denied(id string) bool {
	_, ok := s.denied.Find(id)
	return ok
}

// Denial is what there is to know about an id that is denied.
type Denial struct {
	// Until is from when it need not be said any more: no token can depend on it. Zero: it must be
	// said for as long as it is so.
	Until time.Time
	// Status is Revocation.Status.
	Status string
}

func (d Denial) equal(o Denial) bool { return d.Status == o.Status && d.Until.Equal(o.Until) }

// Denials is all that is denied. What has ended stays for an hour.
func (s *Snapshot) Denials() Denials { return s.denied }

// Denials are ids that are denied. It is immutable.
type Denials = cowmap.Map[string, Denial]

// DenialsEdition is another number whenever Denials may be another set than that of any other
// snapshot of this process: a cheap way to know that it is not.
func (s *Snapshot) DenialsEdition() uint64 { return s.denials }

var editions atomic.Uint64

func (s *Snapshot) deny(id string, d Denial) {
	if old, ok := s.denied.Find(id); !ok || !old.equal(d) {
		s.denied, s.denials = s.denied.With(id, d), editions.Add(1)
	}
}

func (s *Snapshot) undeny(id string) {
	if s.Denied(id) {
		s.denied, s.denials = s.denied.Without(id), editions.Add(1)
	}
}

// ServiceByUID finds a service by its identity.
func (s *Snapshot) ServiceByUID(uid UID) (*Service, bool) { return s.byUID.Find(uid) }

// Credential finds a credential by its id. Of a service that is gone there is none.
func (s *Snapshot) Credential(id string) (*Credential, bool) { return s.credentials.Find(id) }

// All ranges over the services, in no order.
func (s *Snapshot) All() iter.Seq[*Service] {
	return func(yield func(*Service) bool) {
		for _, svc := range s.byUID.All() {
			if !yield(svc) {
				return
			}
		}
	}
}

// Rules ranges over the compiled rules, in no order, and ShadowRules over those of the overlay.
func (s *Snapshot) Rules() iter.Seq[policy.Rule]       { return s.callMap.All() }
func (s *Snapshot) ShadowRules() iter.Seq[policy.Rule] { return s.overlay.All() }

// Rule is the compiled rule for e, or nil.
func (s *Snapshot) Rule(e policy.Edge) *policy.Rule { return s.callMap.Rule(e) }

// Counts of services, credentials and rules.
func (s *Snapshot) Counts() (services, credentials, rules int) {
	return s.byUID.Len(), s.credentials.Len(), s.callMap.Len()
}

// Question is what Decide answers.
type Question struct {
	Caller UID
	// Target is the name of a service, or one of its audiences.
	Target string
	// Scopes asked for, sorted. None: all there are.
	Scopes []string
	// Exchange and Within are those of policy.Query.
	Exchange policy.Exchange
	Within   []string
	At       time.Time
	// With is how it is asked, for rules that have conditions.
	With policy.Circumstances
}

// Verdict is the answer to a Question.
type Verdict struct {
	policy.Decision
	// Target is the service asked for. Nil: there is none, or the caller may not ask.
	Target *Service
	// Observed is why the call would have been refused, had the target not been observing.
	Observed policy.Reason
	// Shadow is what the overlay would have said, where there is one for the edge.
	Shadow *policy.Decision
}

// Otherwise is what the overlay would have said, when that is something else than what the rules in
// force say, whether or not the target observes them. Empty: there is no difference.
func (v Verdict) Otherwise() policy.Reason {
	ruled := v.Decision
	if v.Observed != "" {
		ruled.Reason = v.Observed
	}
	switch {
	case v.Shadow == nil:
		return ""
	case v.Shadow.Reason != ruled.Reason:
		return v.Shadow.Reason
	case v.Shadow.Allowed() && slices.ContainsFunc(ruled.Scopes, func(s string) bool { return !slices.Contains(v.Shadow.Scopes, s) }):
		return policy.FewerScopes
	}
	return ""
}

// Decide reports whether the caller may have a token for the target, and which service that is. It
// is the one decision: every endpoint, and whatever explains or rehearses a decision, asks here.
func (s *Snapshot) Decide(q Question) Verdict {
	if c, ok := s.byUID.Find(q.Caller); !ok || c.Disabled {
		return Verdict{Decision: policy.Decision{Reason: policy.CallerDisabled}}
	}
	to, ok := s.Audience(q.Target)
	switch {
	case !ok:
		return Verdict{Decision: policy.Decision{Reason: policy.UnknownTarget}}
	case to.Disabled:
		return Verdict{Decision: policy.Decision{Reason: policy.TargetDisabled}, Target: to}
	}
	asked := policy.Query{
		Edge:     policy.Edge{Caller: q.Caller, Target: to.UID},
		Scopes:   q.Scopes,
		Exchange: q.Exchange,
		Within:   q.Within,
		At:       q.At.UnixMicro(),
		With:     q.With,
	}
	v := Verdict{Decision: s.callMap.Decide(asked), Target: to}
	if s.overlay.Len() > 0 {
		if d, over := s.callMap.DecideOver(s.overlay, asked); over {
			v.Shadow = &d
		}
	}
	// Nobody acts for another because a target only observes.
	if to.Observe && !v.Allowed() && q.Exchange == policy.NoExchange {
		v.Observed, v.Reason, v.Scopes = v.Reason, policy.Allowed, q.Scopes
	}
	return v
}

// withService returns a snapshot in which svc is as given.
func (s Snapshot) withService(svc Service) *Snapshot {
	// Names are immutable, so the entry by name is replaced and never left behind.
	s.byName = s.byName.With(svc.Name, &svc)
	if old, ok := s.byUID.Find(svc.UID); ok {
		s.forgetAudiences(old)
	}
	s.byUID = s.byUID.With(svc.UID, &svc)
	for _, a := range svc.Audiences {
		s.byAudience = s.byAudience.With(a, &svc)
	}
	if id := FormatUID(svc.UID); svc.Disabled {
		s.deny(id, Denial{})
	} else {
		s.undeny(id)
	}
	return &s
}

// forgetAudiences leaves alone those that are another service's by now: of two changes that
// are applied together the later one counts.
func (s *Snapshot) forgetAudiences(svc *Service) {
	for _, a := range svc.Audiences {
		if owner, ok := s.byAudience.Find(a); ok && owner.UID == svc.UID {
			s.byAudience = s.byAudience.Without(a)
		}
	}
}

// withoutService returns a snapshot without the service and all that depends on it; the tokens it
// got are denied until the moment given. It looks at every rule: deleting is rare, and an index of
// who is called by whom would be paid for by every other change.
func (s Snapshot) withoutService(uid UID, until time.Time) *Snapshot {
	s.deny(FormatUID(uid), Denial{Until: until})
	svc, ok := s.byUID.Find(uid)
	if !ok {
		return &s
	}
	// The name may already be another service's, when the deletion and the creation that
	// followed it are applied together.
	if named, ok := s.byName.Find(svc.Name); ok && named.UID == uid {
		s.byName = s.byName.Without(svc.Name)
	}
	s.forgetAudiences(svc)
	s.byUID = s.byUID.Without(uid)
	for _, c := range s.CredentialsOf(uid) {
		s.credentials = s.credentials.Without(c.ID)
		s.trusts.withoutWorkload(c)
		s.undeny(c.ID) // what depends on it depends on the service too
	}
	s.byOwner = s.byOwner.Without(uid)
	s.callMap, s.overlay = s.callMap.WithoutService(uid), s.overlay.WithoutService(uid)
	return &s
}

func (s Snapshot) withCredential(c Credential) *Snapshot {
	s.disown(c.ID)
	s.credentials = s.credentials.With(c.ID, &c)
	all := append(slices.Clone(s.CredentialsOf(c.Service)), &c)
	slices.SortFunc(all, byID)
	s.byOwner = s.byOwner.With(c.Service, all)
	s.trusts.withWorkload(&c)
	if !c.RevokedAt.IsZero() {
		s.deny(c.ID, Denial{Until: c.RevokedAt.Add(s.keep)})
	}
	return &s
}

// withoutCredential is for one that went with its service, which is denied.
func (s Snapshot) withoutCredential(id string) *Snapshot {
	s.disown(id)
	s.credentials = s.credentials.Without(id)
	s.undeny(id)
	return &s
}

// disown takes a credential from the list of its service.
func (s *Snapshot) disown(id string) {
	c, ok := s.credentials.Find(id)
	if !ok {
		return
	}
	others := slices.DeleteFunc(slices.Clone(s.CredentialsOf(c.Service)), func(o *Credential) bool { return o.ID == id })
	s.byOwner = s.byOwner.With(c.Service, others)
	s.trusts.withoutWorkload(c)
}

func (s Snapshot) withShadow(rules []ShadowRule) *Snapshot {
	s.overlay = compileShadow(rules)
	return &s
}

func (s Snapshot) withRevocation(r Revocation) *Snapshot {
	s.deny(r.ID, Denial{r.Until, r.Status})
	return &s
}

func (s Snapshot) withEpoch(epoch int64) *Snapshot {
	s.epoch = epoch
	return &s
}

func (s Snapshot) withRule(r policy.Rule) *Snapshot {
	s.callMap = s.callMap.With(r)
	return &s
}

func (s Snapshot) withoutRule(e policy.Edge) *Snapshot {
	s.callMap = s.callMap.Without(e)
	return &s
}

func (s Snapshot) at(revision int64) *Snapshot {
	s.revision = revision
	return &s
}
