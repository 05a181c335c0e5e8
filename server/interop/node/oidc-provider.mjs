// An issuer as any company may run one: npm oidc-provider. A job of it gets a JWT for an audience with a client
// secret of that issuer, which Watchword never sees. The keys are those of a file, which is read anew at each start.
import { readFileSync } from 'node:fs'
import { Provider } from 'oidc-provider'

const [port, keys] = process.argv.slice(2)
const issuer = `http://127.0.0.1:${port}`

const provider = new Provider(issuer, {
  clients: [{
    client_id: 'job-7f3a',
    client_secret: process.env.JOB_SECRET,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
  }],
  jwks: JSON.parse(readFileSync(keys, 'utf8')),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      getResourceServerInfo: (_, audience) => ({
        audience, scope: '', accessTokenFormat: 'jwt', accessTokenTTL: 600, jwt: { sign: { alg: 'RS256' } },
      }),
      useGrantedResource: () => true,
    },
  },
})
provider.listen(Number(port), '127.0.0.1')
