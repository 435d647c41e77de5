"""`image workflow`: a GitHub Actions workflow that builds, pushes and applies what a project holds."""

DEPLOY_WORKFLOW = """\
# Builds and pushes the images that changed, and applies every schedule, on every push to main. No password anywhere.
name: deploy
on:
  push: {branches: [main]}
  workflow_dispatch:
permissions: {contents: read, id-token: write}
jobs:
  deploy:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with: {python-version: "3.12"}
      - uses: azure/login@v2
        with:
          client-id: ${{ vars.AZURE_CLIENT_ID }}
          tenant-id: ${{ vars.AZURE_TENANT_ID }}
          subscription-id: ${{ vars.AZURE_SUBSCRIPTION_ID }}
      - run: pip install batchctl
      - run: batchctl validate jobspecs/*.yaml
      - run: batchctl image push --target prod
      - run: batchctl schedule apply $(grep -l '^schedule:' jobspecs/*.yaml) --target prod
"""
